"""What torchrun starts, without Typer:

torchrun --nproc_per_node=2 -m xmatch.training recipes/pretrain-base.yaml -o runs/base
"""

import sys

from xmatch.training.arguments import run

if __name__ == "__main__":
    sys.exit(run())
