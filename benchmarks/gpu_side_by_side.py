"""Several recipes trained at once on one GPU, a process each: a step of a small network is launches, so they fill it.

    python -m benchmarks.gpu_side_by_side --minutes 8.5 -o runs/side --data DIR --init FILE recipes/trials/sparse/*.yaml

Each recipe is a `gpu_run.py --trials` of its own. Their weights come back as NAME.safetensors, what was measured as
trials.json. CUDA's multi-process service lets kernels of different processes run together; where it does not start,
they take turns. A fault in one of its processes ends them all, so those that end early are begun again without it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVICE = "nvidia-cuda-mps-control"
PROBE = "import torch; torch.ones(8, device='cuda').sum().item()"
END_S = 20.0
"""For children that are late, before they are ended."""
LEAST_S = 60.0
"""That must be left for those that failed to be begun again."""


def service(folder: Path) -> dict[str, str]:
    """Start the multi-process service; the variables by which processes find it, none if it does not work."""
    names = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log")}
    for path in names.values():
        Path(path).mkdir(parents=True)
    try:
        subprocess.run([SERVICE, "-d"], env=os.environ | names, check=True, timeout=15)
        subprocess.run([sys.executable, "-c", PROBE], env=os.environ | names, check=True, timeout=40)
    except (OSError, subprocess.SubprocessError) as error:
        print("no multi-process service:", error, flush=True)
        stop(names)
        return {}
    return names


def stop(names: dict[str, str]) -> None:
    if names and shutil.which(SERVICE):
        subprocess.run([SERVICE], input="quit\n", text=True, env=os.environ | names, timeout=15, check=False)


def run(folders: dict[Path, Path], options: argparse.Namespace, deadline: float, names: dict[str, str]) -> None:
    """All of them at once, until they end or their time is over.

    Args:
        folders: recipe -> folder of its run, which is made.
        deadline: on `time.monotonic`.
    """
    options.minutes = (deadline - time.monotonic()) / 60
    environment = os.environ | names | {"OMP_NUM_THREADS": "1"}
    children = [begin(recipe, folder, options, environment) for recipe, folder in folders.items()]
    for child in children:
        try:
            child.wait(max(1.0, deadline + END_S - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()


def begin(recipe: Path, folder: Path, options: argparse.Namespace, environment: dict[str, str]) -> subprocess.Popen:
    cores = len(os.sched_getaffinity(0))
    makers = max(1, (cores - len(options.recipes)) // len(options.recipes))
    command = [sys.executable, "-m", "benchmarks.gpu_run", "--parts", "trials", "--trials", str(recipe)]
    command += ["--minutes", str(options.minutes), "--device", options.device, "--threads", "1"]
    command += ["--makers", str(makers), "--data", str(options.data), "--init", str(options.init), "-o", str(folder)]
    folder.mkdir()
    with open(folder / "log", "w") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)


def gathered(folder: Path, output: Path, name: str) -> dict:
    for kind in ("weights", "research"):
        if (folder / f"{kind}.safetensors").exists():
            shutil.copy(folder / f"{kind}.safetensors", output / f"{name}.safetensors")
    told = folder / "trials.json"
    found = json.loads(told.read_text()) if told.exists() else {}
    return found if "winner" in found else found | {"log": (folder / "log").read_text()[-3000:]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", type=Path, required=True)
    options = parser.parse_args()
    begun = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        names = service(Path(work)) if options.device == "cuda" else {}
        deadline = begun + 60 * options.minutes
        folders = {recipe: Path(work) / recipe.stem for recipe in options.recipes}
        run(folders, options, deadline, names)
        found = {recipe.stem: gathered(folder, options.output, recipe.stem) for recipe, folder in folders.items()}
        stop(names)
        again = {recipe: Path(work) / f"{recipe.stem}-again" for recipe in folders if "log" in found[recipe.stem]}
        first_logs = {recipe.stem: found[recipe.stem]["log"] for recipe in again}
        if again and deadline - time.monotonic() > LEAST_S:
            print("begun again:", [recipe.stem for recipe in again], flush=True)
            run(again, options, deadline, {})
            found |= {recipe.stem: gathered(folder, options.output, recipe.stem) for recipe, folder in again.items()}
    told = {"service": bool(names), "first_logs": first_logs, "runs": found}
    (options.output / "trials.json").write_text(json.dumps(told, indent=1))
    for name, told in found.items():
        print(name, told.get("log") or told["best"], told.get("trials"), flush=True)
    return int(any("log" in told for told in found.values()))


if __name__ == "__main__":
    sys.exit(main())
