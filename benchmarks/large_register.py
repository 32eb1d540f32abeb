"""Time and peak memory of registering and warping a large uint16 GeoTIFF pair end to end, against GDAL's warp alone.

    python benchmarks/large_register.py --size 20000 --threads 2

The moving image shows the fixed one's terrain with inverted, bent contrast; its georeferencing is wrong by 35 px and
0.4 degrees. `xmatch register` runs as a command of its own; the error is measured against the truth at a lattice of
points. One JSON line a contender on stdout.
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
from rasterio.windows import Window

CRS = "EPSG:32632"
OCTAVES_PX = (2400, 700, 200, 60, 18)
TILE = 1024
COARSE_PX = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the images here and use them again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        fixed, moving, truth = folder / "fixed.tif", folder / "moving.tif", moving_to_fixed(args.size)
        if not moving.exists():
            make(fixed, args.size, np.eye(3), invert=False)
            make(moving, args.size, truth, invert=True)
        target = folder / "registered.tif"
        command = [sys.executable, "-m", "xmatch.cli", "register", str(fixed), str(moving), "-o", str(target)]
        command += ["--overwrite", "--json", "--threads", str(args.threads), "--max-memory", "1500MB"]
        seconds, peak, out = run(command)
        document = json.loads(out)
        found = np.array(document["transform"]["matrix"])
        nodes = np.stack(np.meshgrid(*[np.linspace(0, args.size, 9)] * 2), -1).reshape(-1, 2)
        error = np.linalg.norm(project(found, nodes) - project(truth, nodes), axis=1)
        facts = {"accepted": document["verdict"]["accepted"], "mean_error_px": round(float(error.mean()), 3)}
        print(json.dumps({"what": "xmatch register", "seconds": seconds, "peak_mib": peak, **facts}), flush=True)
        print(json.dumps({"what": "its stages", **document["seconds"]}), flush=True)
        warp = [
            str(Path(sys.executable).with_name("rio")),
            "warp",
            str(moving),
            str(folder / "rio.tif"),
            "--like",
            str(fixed),
        ]
        warp += [
            "--resampling",
            "cubic",
            "--threads",
            str(args.threads),
            "--co",
            "compress=deflate",
            "--co",
            "tiled=true",
            "--overwrite",
        ]
        seconds, peak, _ = run(warp)
        print(json.dumps({"what": "rio warp alone", "seconds": seconds, "peak_mib": peak}))


def moving_to_fixed(size: int) -> np.ndarray:
    """(3, 3) truth: 0.4 degrees about the middle and a shift."""
    c, s = np.cos(np.radians(0.4)), np.sin(np.radians(0.4))
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    turn[:2, 2] = size / 2 - turn[:2, :2] @ (size / 2, size / 2) + (35.0, -21.0)
    return turn


def project(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    mapped = xy @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def make(path: Path, size: int, to_terrain: np.ndarray, *, invert: bool) -> None:
    """One sensor's picture of a terrain of value noise, written tile by tile."""
    rng = np.random.default_rng(0)
    lattices = [rng.normal(size=(size // step + 80, size // step + 80)).astype(np.float32) for step in OCTAVES_PX]
    profile = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": 1,
        "dtype": "uint16",
        "tiled": True,
        "crs": CRS,
    }
    profile |= {"blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2, "bigtiff": "IF_SAFER"}
    profile |= {"transform": rasterio.Affine(10, 0, 500000, 0, -10, 4000000), "num_threads": 2}
    with rasterio.open(path, "w", **profile) as file:
        for y in range(0, size, TILE):
            for x in range(0, size, TILE):
                width, height = min(TILE, size - x), min(TILE, size - y)
                # Hills need no full resolution; the noise on them has it.
                xs = np.arange(x, x + width, COARSE_PX) + COARSE_PX / 2
                ys = np.arange(y, y + height, COARSE_PX) + COARSE_PX / 2
                nodes = np.stack(np.meshgrid(xs, ys), -1)
                place = project(to_terrain, nodes.reshape(-1, 2)).astype(np.float32).reshape(nodes.shape)
                terrain = np.zeros(nodes.shape[:2], np.float32)
                for step, lattice in zip(OCTAVES_PX, lattices, strict=True):
                    at = place / step + 30
                    terrain += step**0.4 * cv2.remap(lattice, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
                terrain = np.tanh(cv2.resize(terrain, (width, height)) / 15)
                value = 0.5 - 0.4 * terrain * np.abs(terrain) ** 0.3 if invert else 0.5 + 0.4 * terrain
                noise = np.random.default_rng(x * 7 + y + invert).standard_normal(value.shape, np.float32) * 0.02
                file.write(
                    (10000 * np.clip(value + noise, 0, 1)).astype(np.uint16)[None], window=Window(x, y, width, height)
                )


def run(command: list[str]) -> tuple[float, int, bytes]:
    """(seconds, peak MiB, stdout) of a command of its own; peak by the kernel's own count for that child."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = round(time.perf_counter() - start, 2)
    if os.waitstatus_to_exitcode(status) not in (0, 4):
        raise SystemExit(f"{command[0]} failed")
    return seconds, usage.ru_maxrss // 1024, out


if __name__ == "__main__":
    main()
