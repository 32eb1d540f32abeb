"""Small files of every kind that xmatch reads, from which `fuzz.py` makes damaged ones."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

SIDE = 48
PLACE = rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0)
CRS = "EPSG:32633"


def picture(bands: int = 1, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """(bands, SIDE, SIDE): blobs and a few straight edges."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 2.5)
    noise[10:25, 8:30] += 0.2
    scaled = (noise - noise.min()) / np.ptp(noise)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1.0
    return np.stack([(scaled * top * (1 - 0.1 * b)).astype(dtype) for b in range(bands)])


def make_seeds(folder: Path) -> dict[str, list[Path]]:
    """Kind -> files: "image", "report", "transform", "points", "pairs", "manifest", "recipe", "weights". "fixed.tif",
    which all of them go with, lies beside them.

    The reports are those of registrations by xmatch itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _geotiff(folder / "fixed.tif", picture(seed=0))
    _geotiff(folder / "moving.tif", picture(seed=0) // 2 + 20)
    images = list(_images(folder))
    return {
        "image": images,
        **_registrations(folder),
        "pairs": list(_pairs(folder)),
        "manifest": list(_manifests(folder)),
        "recipe": list(_recipes(folder)),
        "weights": [_weights(folder / "w.safetensors")],
    }


def _geotiff(path: Path, pixels: np.ndarray, **profile) -> Path:
    settings = {
        "driver": "GTiff",
        "width": pixels.shape[2],
        "height": pixels.shape[1],
        "count": pixels.shape[0],
        "dtype": pixels.dtype.name,
        "crs": CRS,
        "transform": PLACE,
    } | profile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **{k: v for k, v in settings.items() if v is not None}) as file:
            file.write(pixels)
    return path


def _images(folder: Path) -> Iterator[Path]:
    plain = {"crs": None, "transform": None}
    yield _geotiff(folder / "strips.tif", picture(3))
    yield _geotiff(folder / "tiles.tif", picture(1, "uint16"), tiled=True, blockxsize=16, blockysize=16, compress="lzw")
    path = _geotiff(folder / "overviews.tif", picture(2, "int16"), compress="deflate", predictor=2, nodata=-7)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2], rasterio.enums.Resampling.average)
    yield path
    yield _geotiff(folder / "float.tif", picture(1, "float32"), nodata=float("nan"), compress="deflate", predictor=3)
    yield _geotiff(
        folder / "degrees.tif", picture(), crs="EPSG:4326", transform=rasterio.Affine(1e-4, 0, 15, 0, -1e-4, 47.8)
    )
    yield _geotiff(folder / "big.tif", picture(), bigtiff="YES", compress="packbits")
    yield _geotiff(folder / "planes.tif", picture(4), interleave="band", photometric="RGB", alpha="YES")
    yield _geotiff(
        folder / "jpeg.tif", picture(3), compress="jpeg", photometric="YCBCR", tiled=True, blockxsize=16, blockysize=16
    )
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = _geotiff(folder / "mask.tif", picture())
        with rasterio.open(path, "r+") as file:
            file.write_mask(picture()[0] > 40)
    yield path
    gcps = [GroundControlPoint(y, x, 5e5 + 10 * x, 5.3e6 - 10 * y) for x in (0, SIDE) for y in (0, SIDE)]
    path = _geotiff(folder / "gcps.tif", picture(), **plain)
    with rasterio.open(path, "r+") as file:
        file.gcps = gcps, rasterio.crs.CRS.from_string(CRS)
    yield path
    path = _geotiff(folder / "palette.tif", picture() // 64, photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {i: (60 * i, 255 - 60 * i, 9, 255) for i in range(4)})
    yield path
    yield _geotiff(folder / "bits.tif", picture() >> 7, nbits=1)
    yield _geotiff(folder / "complex.tif", picture(1, "float32").astype("complex64"))
    yield _geotiff(folder / "cog.tif", picture(), driver="COG")
    grey = picture(1, "uint16")[0]
    for name, how in {
        "ome.ome.tif": {
            "ome": True,
            "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "axes": "CYX"},
            "tile": (16, 16),
        },
        "imagej.tif": {"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "um", "axes": "ZYX"}},
        "pages.tif": {"compression": "deflate", "metadata": None},
    }.items():
        tifffile.imwrite(folder / name, np.stack([grey, grey // 2]), **how)
        yield folder / name
    with tifffile.TiffWriter(folder / "pyramid.ome.tif", ome=True) as tif:
        tif.write(grey, subifds=1, tile=(16, 16), compression="zlib")
        tif.write(grey[::2, ::2], subfiletype=1, tile=(16, 16), compression="zlib")
    yield folder / "pyramid.ome.tif"
    slide = {"photometric": "rgb", "compression": "jpeg", "tile": (16, 16), "metadata": None}
    told = "Aperio Image Library\r\n48x48 |AppMag = 20|MPP = 0.499"
    tifffile.imwrite(folder / "slide.svs.tif", np.dstack([*picture(3)]), description=told, **slide)
    yield folder / "slide.svs.tif"
    colours = np.dstack([*picture(3)])
    pictures = {"grey.png": picture()[0], "deep.png": grey, "rgba.png": np.dstack([*picture(4)])}
    for name, pixels in {**pictures, "grey.jpg": picture()[0], "rgb.jpg": colours, "rgb.jp2": colours}.items():
        cv2.imwrite(str(folder / name), pixels)
        yield folder / name


def _registrations(folder: Path) -> dict[str, list[Path]]:
    """Reports, transform files and points of known maps, as the command line writes them."""
    from xmatch.correspondences import Correspondences
    from xmatch.geometry import DisplacementGrid, ThinPlateSpline, homography, similarity
    from xmatch.io import open_source
    from xmatch.io.points.writing import write_points
    from xmatch.io.transforms.files import TRANSFORM_WRITERS
    from xmatch.provenance import describe
    from xmatch.report import registration_document, to_json
    from xmatch.result import Registration, Verdict

    xy = np.stack(np.meshgrid([3.0, 20, 44], [5.0, 25, 41]), -1).reshape(-1, 2)
    turn = similarity(3.0, 1.0, (2.0, -1.0))
    maps = {
        "similarity": turn,
        "homography": homography([[1.0, 0.02, 1], [-0.01, 1.0, 2], [1e-4, 0, 1]]),
        "tps": ThinPlateSpline(xy, turn(xy) + np.sin(xy)),
        "grid": DisplacementGrid.sampled(turn, SIDE, SIDE, 12.0),
    }
    found: dict[str, list[Path]] = {"report": [], "transform": [], "points": []}
    with open_source(folder / "fixed.tif") as fixed, open_source(folder / "moving.tif") as moving:
        for kind, transform in maps.items():
            verdict = Verdict(True, 0.97, "the halves agree", 1.2, 12.0, "m", {"coverage": 0.5})
            pairs = Correspondences(transform(xy), xy, np.linspace(0.5, 1, len(xy)))
            registration = Registration(
                describe(fixed), describe(moving), transform, pairs, np.ones(len(xy), bool), np.zeros(len(xy)), verdict,
                {"total": 0.1}, ("a note",), {"options": {"seed": 0, "max_angle": 10.0, "matcher": "structural"}},
            )  # fmt: skip
            report = folder / f"{kind}.report.json"
            report.write_text(to_json(registration_document(registration, output="out.tif"), indent=1))
            found["report"].append(report)
            if kind in ("similarity", "tps"):
                for writer, suffix in (("tfm", ".tfm"), ("displacement", ".tif")):
                    path = folder / f"{kind}.{writer}{suffix}"
                    TRANSFORM_WRITERS[writer](path, transform, fixed, moving, overwrite=True)
                    found["transform"].append(path)
            if kind == "similarity":
                for form in ("csv", "json", "npz", "points"):
                    write_points(folder / f"tie.{form}", form, registration, overwrite=True)
                    found["points"].append(folder / f"tie.{form}")
    return found


def _pairs(folder: Path) -> Iterator[Path]:
    for name, mark, encoding in (("comma", ",", "utf-8"), ("tab", "\t", "utf-16"), ("semicolon", ";", "utf-8-sig")):
        rows = [["fixed", "moving", "output"], ["fixed.tif", "moving.tif", "a.tif"], ["fixed.tif", 'b "c", d.tif', ""]]
        with open(folder / f"{name}.csv", "w", encoding=encoding, newline="") as file:
            csv.writer(file, delimiter=mark).writerows(rows)
        yield folder / f"{name}.csv"


def _manifests(folder: Path) -> Iterator[Path]:
    matrix = [[1.0, 0.0, 2.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]]
    row = {"fixed": "fixed.tif", "moving": "moving.tif", "moving_to_fixed": matrix, "pixel_origin": "corner"}
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(3)))
    yield folder / "pairs.jsonl"
    flat = " ".join(str(n) for line in matrix for n in line)
    text = "fixed,moving,moving_to_fixed,pixel_origin\n" + f"fixed.tif,moving.tif,{flat},center\n" * 3
    (folder / "pairs.csv").write_text(text)
    yield folder / "pairs.csv"


def _recipes(folder: Path) -> Iterator[Path]:
    text = "# options\nmatcher: structural\nmax_angle: 10\nmax_scale: 1.2\nband: [1]\ntransform: affine\nmirror: true\n"
    (folder / "recipe.yaml").write_text(text)
    yield folder / "recipe.yaml"
    yield folder / "similarity.report.json"


def _weights(path: Path) -> Path:
    import torch

    from xmatch.io.weights.files import WeightsMetadata, save_weights

    metadata = WeightsMetadata(name="tiny", architecture="", licence="CC0-1.0")
    save_weights(path, {"a.weight": torch.zeros(2, 3)}, metadata, overwrite=True)
    return path


if __name__ == "__main__":
    print(json.dumps({kind: [path.name for path in paths] for kind, paths in make_seeds(Path(sys.argv[1])).items()}))
