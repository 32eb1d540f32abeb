"""How nearly a known smooth bend of a large raster is followed: residuals at places that nothing was fitted to.

    python benchmarks/large_bend.py --textures FOLDER --size 10000 --bend 8 --max-tiles 64,256

Fixed is a mosaic of the photographs in FOLDER (any below it), blended at their seams; moving is the same seen through a
spline that moves no place further than `--bend` px, with noise and half the contrast: one sensor, another day. Both say
that they lie at the same place. `xmatch register` runs as a command of its own. One JSON line for each number of tiles:
quantiles of the distance between the map and the truth, px, and the share below 0.5 px.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import rasterio

from xmatch.evaluation.moving_warps import smooth_bend
from xmatch.geometry import ThinPlateSpline, transform_from_dict
from xmatch.resampling.backward_map import BackwardMap

CELL_PX, SEAM_PX, BLOCK_PX = 448, 64, 512
CRS, PLACE = "EPSG:32632", rasterio.Affine(10, 0, 500000, 0, -10, 4000000)
CHECKS = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--textures", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--size", type=int, default=10000)
    parser.add_argument("--bend", type=float, default=8.0, help="px")
    parser.add_argument("--max-tiles", default="64,256")
    parser.add_argument("--tile-size", default="512")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the images here and use them again")
    options = parser.parse_args()
    true = smooth_bend(options.size, options.size, options.bend, np.random.default_rng(3))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        fixed, moving = folder / "fixed.tif", folder / "moving.tif"
        if not moving.exists():
            image = mosaic(options.textures, options.size)
            save(fixed, image)
            save(moving, seen_through(image, true))
            del image
        places = np.random.default_rng(1).uniform(0.01, 0.99, (CHECKS, 2)) * options.size
        for tile_px in options.tile_size.split(","):
            for most in options.max_tiles.split(","):
                command = [sys.executable, "-m", "xmatch.cli", "register", str(fixed), str(moving), "--transform-only"]
                command += ["-o", str(folder / "registered.tif"), "--overwrite", "--json"]
                command += ["--threads", str(options.threads), "--max-tiles", most, "--tile-size", tile_px]
                start = time.perf_counter()
                child = subprocess.Popen(command, stdout=subprocess.PIPE)
                out = child.stdout.read()
                _, _, usage = os.wait4(child.pid, 0)
                found = json.loads(out)
                facts = {"max_tiles": int(most), "tile_px": int(tile_px), "seconds": time.perf_counter() - start}
                facts |= {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss // 1024}
                facts |= {"accepted": found["verdict"]["accepted"], "kind": found["transform"]["kind"]}
                off = np.linalg.norm(transform_from_dict(found["transform"])(places) - true(places), axis=1)
                facts |= {f"q{100 * q:g}_px": float(np.quantile(off, q)) for q in (0.5, 0.9, 0.95, 0.99)}
                facts |= {"below_0.5_px": float((off < 0.5).mean()), "ce90_px": found["verdict"].get("ce90_px")}
                print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in facts.items()}), flush=True)


def mosaic(folder: Path, size: int) -> np.ndarray:
    """(size, size) uint8: photographs side by side, each faded into its neighbours."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png", ".tif"))
    step, side = CELL_PX - SEAM_PX, CELL_PX
    ramp = np.minimum(1, (np.arange(side) + 0.5) / SEAM_PX)
    weight = np.outer(ramp * ramp[::-1], ramp * ramp[::-1]).astype(np.float32)
    total, weights = np.zeros((2, size + side, size + side), np.float32)
    drawn = np.random.default_rng(0)
    for y in range(0, size, step):
        for x in range(0, size, step):
            image = cv2.imread(str(paths[drawn.integers(len(paths))]), cv2.IMREAD_GRAYSCALE)
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
            total[y : y + side, x : x + side] += weight * image
            weights[y : y + side, x : x + side] += weight
    return (total / np.maximum(weights, 1e-6))[:size, :size].round().astype(np.uint8)


def seen_through(image: np.ndarray, true: ThinPlateSpline) -> np.ndarray:
    """What lies at each px of moving, which `true` takes to fixed px."""
    size = len(image)
    out, rng = np.empty_like(image), np.random.default_rng(2)
    # Where a px of moving comes from is what the backward map of the inverse says.
    at = BackwardMap(true.inverse, (size, size))
    for y in range(0, size, BLOCK_PX):
        for x in range(0, size, BLOCK_PX):
            width, height = min(BLOCK_PX, size - x), min(BLOCK_PX, size - y)
            xy = (at(x, y, width, height) - 0.5).astype(np.float32)
            block = cv2.remap(image, xy[0], xy[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            value = 60 + 0.5 * block + rng.normal(0, 3, block.shape)
            out[y : y + height, x : x + width] = np.clip(np.rint(value), 0, 255)
    return out


def save(path: Path, image: np.ndarray) -> None:
    profile = {"driver": "GTiff", "width": len(image), "height": len(image), "count": 1, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    with rasterio.open(path, "w", crs=CRS, transform=PLACE, **profile) as file:
        file.write(image, 1)


if __name__ == "__main__":
    main()
