"""What training RoMa keeps for its gradient, counted without computing anything, and so what fits a GPU.

    python benchmarks/roma_memory.py --batch 8 --side 448

Tensors are shapes alone (torch's meta device), in single precision; in bfloat16 nearly all are half as large. With
memory saved, what is inside of the encoder and of each refiner is computed again, one after the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from xmatch.networks.dinov2.config import DinoConfig
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.roma.config import STRIDES, RomaConfig
from xmatch.networks.roma.network import Roma

GIB = 2**30


def kept(call: Callable[[], object], besides: nn.Module) -> float:
    """GiB of the tensors that a call keeps for its gradient, weights apart."""
    weights = {tensor.untyped_storage()._cdata for tensor in besides.state_dict(keep_vars=True).values()}
    found: dict[int, Tensor] = {}

    def seen(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in weights:
            found[storage] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda tensor: tensor):
        call()
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values()) / GIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=448)
    options = parser.parse_args()
    torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[assignment, misc]  # the meta device has none
    batch, side, config = options.batch, options.side, RomaConfig()
    with torch.device("meta"):
        network, backbone = Roma(config).train(), Dino(DinoConfig())
        network.see_with(backbone)
        image, valid = torch.rand(batch, 1, side, side), torch.ones(batch, 1, side, side, dtype=torch.bool)
        parts = {"encoder": kept(lambda: network.encoder.cnn(torch.rand(2 * batch, 3, side, side)), network)}
        for channels, stride in zip(config.projected, STRIDES, strict=True):
            cells = side // (14 if stride == 16 else stride)
            features = torch.rand(batch, channels, cells, cells, requires_grad=True)
            refiner = network.decoder.conv_refiner[str(stride)]
            warp = torch.rand(batch, cells, cells, 2)
            parts[f"refiner {stride}"] = kept(lambda r=refiner, f=features, w=warp: r(f, f, w, 1.0), network)  # type: ignore[misc]
        for saves in (True, False):
            network.saves_memory = saves
            total = kept(lambda: network(image, valid, image, valid), network)
            print(f"{'saving memory' if saves else 'keeping all'}: {total:.1f} GiB")
    print("inside of " + ", ".join(f"{name}: {size:.1f} GiB" for name, size in parts.items()))
    trained = sum(parameter.numel() for parameter in network.parameters()) * 4 / GIB
    other = sum(parameter.numel() for parameter in backbone.parameters()) * 4 / GIB
    print(f"weights, gradients, two moments and an average: {5 * trained:.1f} GiB; image encoder: {other:.1f} GiB")


if __name__ == "__main__":
    main()
