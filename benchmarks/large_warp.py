"""Time and peak memory of warping a large uint16 GeoTIFF, against GDAL's warper through rasterio.

    python benchmarks/large_warp.py --size 8000 --threads 2 --rounds 3

Each contender runs in a process of its own, so that its peak memory is its own, one after the other in each round. All
read the same tiled, deflated file, turn it by two degrees with the cubic kernel and write deflated tiles; GDAL warps
with as many threads as ours and compresses with as many (`gdalwarp -multi -wo NUM_THREADS=N -co NUM_THREADS=N`). One
JSON line each on stdout, and one with the ratios: of the time by the clock and of the processor's, which neighbours
on a shared machine disturb less; the least of the rounds each.

    xmatch         a COG: overviews, and all of it read back
    xmatch-ome     the same as a pyramidal OME-TIFF
    gdal           a GeoTIFF without overviews
    gdal-overviews the same with overviews of means
    gdal-cog       the first, copied to a COG
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

CRS = "EPSG:32632"
TURN_DEG = 2.0


def make(path: Path, size: int, every: int = 1) -> None:
    """A scene of smooth hills and noise, written tile by tile; or every few tiles each way only, the others missing."""
    import rasterio

    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint16", "tiled": True}
    profile |= {"blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2, "bigtiff": "IF_SAFER"}
    place = rasterio.Affine(10, 0, 500000, 0, -10, 4000000)
    with rasterio.open(path, "w", crs=CRS, transform=place, nodata=0, num_threads=2, sparse_ok=True, **profile) as file:
        for y in range(0, size, 512 * every):
            for x in range(0, size, 512 * every):
                height, width = min(512, size - y), min(512, size - x)
                ys, xs = np.mgrid[y : y + height, x : x + width]
                hills = 8000 + 3000 * np.sin(xs / 900) * np.cos(ys / 700) + rng.normal(0, 60, (height, width))
                file.write(hills.astype(np.uint16)[None], window=rasterio.windows.Window(x, y, width, height))


def turn(size: int) -> np.ndarray:
    """(3, 3) moving px -> fixed px about the middle."""
    c, s = np.cos(np.radians(TURN_DEG)), np.sin(np.radians(TURN_DEG))
    to_middle = np.array([[1, 0, -size / 2], [0, 1, -size / 2], [0, 0, 1]])
    return np.linalg.inv(to_middle) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ to_middle


def by_xmatch(source: Path, target: Path, size: int, threads: int, medical: bool = False) -> None:
    from xmatch.geometry import Linear
    from xmatch.io import open_source
    from xmatch.raster import Grid
    from xmatch.resampling.registered_file import write_registered

    with open_source(str(source)) as moving:
        grid = Grid(size, size, medical=True) if medical else Grid.of(moving.header)
        write_registered(target, moving, Linear(turn(size), "similarity"), grid, threads=threads, overwrite=True)


def by_gdal(source: Path, target: Path, size: int, threads: int) -> None:
    import rasterio
    from rasterio.warp import Resampling, reproject

    with rasterio.open(source) as moving:
        place = moving.transform
        profile = {**moving.profile, "num_threads": threads, "bigtiff": "IF_SAFER"}
        # Ours maps px to px; the same said in GDAL's terms is a turned georeferencing of the moving file.
        turned = place @ rasterio.Affine(*turn(size)[:2].ravel())
        with rasterio.open(target, "w", **profile) as fixed:
            reproject(
                rasterio.band(moving, 1),
                rasterio.band(fixed, 1),
                src_transform=turned,
                src_crs=CRS,
                dst_transform=place,
                dst_crs=CRS,
                resampling=Resampling.cubic,
                num_threads=threads,
                warp_mem_limit=256,
            )


def by_gdal_with_overviews(source: Path, target: Path, size: int, threads: int) -> None:
    import rasterio

    by_gdal(source, target, size, threads)
    factors = [2 << k for k in range(20) if size > 512 << k]
    options = {"GDAL_NUM_THREADS": threads, "COMPRESS_OVERVIEW": "DEFLATE", "PREDICTOR_OVERVIEW": 2}
    with rasterio.Env(**options), rasterio.open(target, "r+") as file:
        file.build_overviews(factors, rasterio.enums.Resampling.average)


def by_gdal_to_cog(source: Path, target: Path, size: int, threads: int) -> None:
    from rasterio.shutil import copy

    plain = target.with_suffix(".plain.tif")
    by_gdal(source, plain, size, threads)
    options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": 512, "overview_resampling": "AVERAGE"}
    copy(plain, target, driver="COG", num_threads=threads, **options)
    plain.unlink()


CONTENDERS = {
    "xmatch": by_xmatch,
    "gdal": by_gdal,
    "gdal-overviews": by_gdal_with_overviews,
    "gdal-cog": by_gdal_to_cog,
    "xmatch-ome": partial(by_xmatch, medical=True),
}


def measure(name: str, source: Path, target: Path, size: int, threads: int) -> dict:
    start, used = time.perf_counter(), time.process_time()
    CONTENDERS[name](source, target, size, threads)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "warp": name,
        "size_px": size,
        "threads": threads,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used, 2),
        "peak_mib": round(peak_mib),
        "megapixels_per_second": round(size**2 / 1e6 / seconds, 1),
        "file_mib": round(os.path.getsize(target) / 2**20),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20000, help="side of both images, px")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="fill one tile in so many each way: large and cheap")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="names, commas between")
    parser.add_argument("--folder", type=Path, help="where the files go; default a temporary folder")
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        source, target = options.folder / "moving.tif", options.folder / f"{options.only}.tif"
        print(json.dumps(measure(options.only, source, target, options.size, options.threads)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        make(Path(folder) / "moving.tif", options.size, options.every)
        arguments = ["--size", str(options.size), "--threads", str(options.threads), "--folder", folder]
        names = options.contenders.split(",")
        best: dict[str, dict[str, float]] = {name: {} for name in names}
        for _ in range(options.rounds):
            for name in names:
                command = [sys.executable, __file__, *arguments, "--only", name]
                found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                print(found, end="", flush=True)
                for key in ("seconds", "cpu_seconds"):
                    best[name][key] = min(json.loads(found)[key], best[name].get(key, float("inf")))
        for ours in names:
            for peer in names:
                if ours.startswith("xmatch") and peer.startswith("gdal"):
                    ratios = {key: round(best[ours][key] / best[peer][key], 2) for key in best[ours]}
                    print(json.dumps({"ratio": f"{ours} to {peer}", **ratios}))


if __name__ == "__main__":
    main()
