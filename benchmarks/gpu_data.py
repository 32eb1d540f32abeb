"""The images that go along to a machine with a GPU, in one small folder: to learn from, and to be measured on.

    python benchmarks/gpu_data.py DATA -o FOLDER

FOLDER/clean: aligned pairs that weights under Apache-2.0 may be trained with. Sentinel-1 and -2 (contains modified
Copernicus Sentinel data), TerraMind's samples (the same, and the Copernicus DEM), in-silico labelling (Apache-2.0).
FOLDER/research: photographs, aerial images and pairs without such a licence, to learn what they would be worth.
FOLDER/real: the validation, `pairs.jsonl`. No scene of it is in the other two, and none of any `val` folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

SRIF = ("Optical-SAR", "Optical-Infrared", "Optical-Map", "Optical-Depth", "Optical-Optical", "Nighttime")
HELD_TILES = 8
"""Every so many-th number of Sentinel tile is kept for the validation."""
HELD_OF_MORE = {"terramind": ("282D", "433D", "637U"), "isl_microscopy": ("q2", "q3"), "ptbp_brain": ("",)}
"""Folder -> starts of names that are validated with; the others are trained with."""
RESEARCH_PX, RESEARCH_QUALITY = 320, 78


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--per-set", type=int, default=16, help="validation pairs of each of SRIF's sets")
    parser.add_argument("--research-mib", type=float, default=8.5, help="0: none")
    args = parser.parse_args()
    rows = srif(args.data, args.output, args.per_set)
    rows += sentinel(args.data, args.output) + more(args.data, args.output)
    (args.output / "real/pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    research(args.data / "train", args.output / "research", 2**20 * args.research_mib)
    for part in sorted(args.output.iterdir()):
        files = [path for path in part.rglob("*") if path.is_file()]
        print(f"{part.name:10} {len(files):5} files  {sum(f.stat().st_size for f in files) / 2**20:5.1f} MiB")


def copied(source: Path, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target.name


def srif(data: Path, output: Path, count: int) -> list[dict]:
    """Evenly chosen rows of the training split."""
    found = []
    for name in SRIF:
        folder = data / "srif-crop" / name / "train"
        rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
        for number in np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int):
            row = rows[number]
            files = {
                side: copied(folder / row[side], output / "real" / f"{name}_{number:03}_{side}{Path(row[side]).suffix}")
                for side in ("fixed", "moving")
            }
            found.append({"set": name, **files, "moving_to_fixed": row["moving_to_fixed"]})
    return found


def sentinel(data: Path, output: Path) -> list[dict]:
    """Tiles for training, and those whose number is held out."""
    found = []
    for first in sorted((data / "train/pairs/optical-sar").glob("s2s1_*_a.jpg")):
        second = first.with_name(first.name.replace("_a.", "_b."))
        if int(first.name.split("_")[1]) % HELD_TILES:
            for path, quality in ((first, 85), (second, 72)):  # speckle is dear and worth little
                reencoded(path, output / "clean/optical-sar" / path.name, 10**4, quality)
        elif "half" in first.name:
            files = {s: copied(p, output / "real" / p.name) for s, p in (("fixed", first), ("moving", second))}
            found.append({"set": "sentinel", **files, "moving_to_fixed": np.eye(3).tolist()})
    return found


def more(data: Path, output: Path) -> list[dict]:
    found = []
    for name, held in HELD_OF_MORE.items():
        folder = data / "more" / name
        for line in (folder / "pairs.jsonl").read_text().splitlines():
            row = json.loads(line)
            paths = {side: folder / row[side] for side in ("fixed", "moving")}
            if paths["fixed"].name.startswith(held):
                files = {side: copied(path, output / "real" / f"{name}_{path.name}") for side, path in paths.items()}
                found.append({"set": name, **files, "moving_to_fixed": row["moving_to_fixed"]})
            elif row["moving_to_fixed"] is not None:
                kind = "phase-fluorescence" if name == "isl_microscopy" else f"optical-{row['group']}"
                for side, path in zip("ab", paths.values(), strict=True):
                    copied(path, output / "clean" / kind / f"{paths['moving'].stem}_{side}{path.suffix}")
    return found


def research(train: Path, output: Path, most_bytes: float) -> None:
    """Every n-th file, small, so that all kinds are there."""
    singles = sorted([*(train / "photos").glob("*.jpg"), *(train / "aerial").glob("*.jpg")])
    pairs = [p for p in sorted((train / "pairs").glob("*/*_a.jpg")) if not p.name.startswith("s2s1")]
    written = 0
    for number in np.random.default_rng(0).permutation(len(singles) + len(pairs)):
        if written > most_bytes:
            return
        if number < len(singles):
            path = singles[number]
            written += reencoded(path, output / "singles" / path.name)
        else:
            first = pairs[number - len(singles)]
            for path in (first, first.with_name(first.name.replace("_a.", "_b."))):
                written += reencoded(path, output / "pairs" / first.parent.name / path.name)


def reencoded(source: Path, target: Path, longest: int = RESEARCH_PX, quality: int = RESEARCH_QUALITY) -> int:
    image = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    factor = min(1.0, longest / max(image.shape[:2]))
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return target.stat().st_size


if __name__ == "__main__":
    main()
