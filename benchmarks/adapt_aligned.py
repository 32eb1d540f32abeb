"""Does an adaptation help with sensors that registration is poor at? Aligned pairs, brought out of line by chance.

    python benchmarks/adapt_aligned.py DATA/pairs/pet-mri -o adapt-pet --labelled 2

The folder holds NAME_a and NAME_b on one pixel grid. Names in order, the first 60 % are adapted to and the last 30 %
measured; what lies between is left out, as neighbours often show one patient. Moving is turned by up to 180 degrees,
scaled by up to 1.4 and shifted by up to 6 %. result.json has the errors and verdicts before and after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from adapt_measure import born, measured

from xmatch.coords import to_centre_matrix
from xmatch.errors import ExitCode
from xmatch.geometry import similarity
from xmatch.metrics import auc

LEARNT, MEASURED = 0.6, 0.3
TURN_DEG, SCALE, SHIFT = 180.0, 1.4, 0.06


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("adapt-aligned"))
    parser.add_argument("--weights", default="xmatch-fields", help="path, or name of a model")
    parser.add_argument("--labelled", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    train, val = write_pairs(args.folder, args.output)
    adapted = args.output / f"{args.labelled}shot-seed{args.seed}.safetensors"
    command = [sys.executable, "-m", "xmatch.cli", "adapt", train, "--labelled", args.labelled, "-o", adapted, "--json"]
    command += ["--weights", args.weights, "--seed", args.seed, "--device", args.device, "--threads", args.threads]
    command += ["--overwrite", *(["--recipe", args.recipe] if args.recipe else [])]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout)
    if done.returncode not in (ExitCode.OK, ExitCode.UNTRUSTED):
        raise SystemExit(told["error"]["message"])
    proof = born((train, val), args.weights, seeds=[args.seed], threads=args.threads)
    result = {"schema": "xmatch.adapt-aligned/1", "certificate": proof, "adapted": told}
    for name, weights in (("before", args.weights), ("after", told["output"])):
        result[name] = measured(weights, val, device=args.device, threads=args.threads)
        print(f"{name:8}", line(result[name]))
    adapted.with_suffix(".result.json").write_text(json.dumps(result, indent=1) + "\n")


def write_pairs(folder: Path, output: Path) -> list[Path]:
    """Folders of pairs to adapt to and to measure on, each with a manifest."""
    names = sorted(path.name.removesuffix("_a.jpg") for path in folder.glob("*_a.jpg"))
    parts = {"train": names[: int(len(names) * LEARNT)], "val": names[len(names) - int(len(names) * MEASURED) :]}
    for part, chosen in parts.items():
        into = output / part
        into.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, name in enumerate(chosen):
            fixed, moving = (cv2.imread(str(folder / f"{name}_{side}.jpg"), cv2.IMREAD_GRAYSCALE) for side in "ab")
            to_fixed = chance((moving.shape[1], moving.shape[0]), np.random.default_rng((number, part == "val")))
            size = moving.shape[1::-1]
            moved = cv2.warpAffine(moving, to_centre_matrix(np.linalg.inv(to_fixed))[:2], size)
            for side, image in (("fixed", fixed), ("moving", moved)):
                cv2.imwrite(str(into / f"{name}_{side}.png"), image)
            row = {side: f"{name}_{side}.png" for side in ("fixed", "moving")}
            rows.append(json.dumps({**row, "moving_to_fixed": to_fixed.tolist(), "pixel_origin": "corner"}))
        (into / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    return [output / part for part in parts]


def chance(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(3, 3) a random similarity about the middle, of corner-counted px."""
    turn, stretch, *shift = rng.uniform(-1, 1, 4)
    middle = np.array(size) / 2
    matrix = similarity(TURN_DEG * turn, SCALE**stretch, (0.0, 0.0)).matrix.copy()
    matrix[:2, 2] = middle - matrix[:2, :2] @ middle + np.array(shift) * SHIFT * np.array(size)
    return matrix


def line(found: dict[str, list]) -> str:
    errors = np.array([np.inf if e is None else e for e in found["registered"]])
    accepted = np.array(found["accepted"])
    right = errors < 10
    return (
        f"n {len(errors)}  below 10 px {100 * right.mean():.0f} %  AUC@5 {auc(errors, (5,))[0]:.1f}  "
        f"accepted: right {(accepted & right).sum()} of {right.sum()}, "
        f"wrong {(accepted & ~right).sum()} of {(~right).sum()}"
    )


if __name__ == "__main__":
    main()
