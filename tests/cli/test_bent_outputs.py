"""Every output of `register` and `apply` follows a map that bends: judged by GDAL, SimpleITK and the map itself."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import SimpleITK as sitk
import tifffile
from fakes import registration
from rasterio.transform import GCPTransformer

from xmatch.coords import pixel_centres
from xmatch.correspondences import Correspondences
from xmatch.geometry import DisplacementGrid, ThinPlateSpline, compose, similarity, transform_from_dict
from xmatch.io import open_source
from xmatch.io.transforms.files import read_transform
from xmatch.registration.pipeline import written_as_one

SIZE = (160, 130)
PLACE = rasterio.Affine(10.0, 0, 500_000.0, 0, -10.0, 4_000_000.0)
TURN = similarity(6.0, 1.03, (4.0, -9.0))
KNOTS = pixel_centres(*SIZE, step=26).reshape(-1, 2)
TPS = ThinPlateSpline(KNOTS, TURN(KNOTS) + 4 * np.sin(KNOTS[:, ::-1] / 28 + (0.4, 1.1)))
BENT = {
    "tps": TPS,
    "grid": DisplacementGrid.sampled(TPS, *SIZE, 6.0),
    "composed": compose(TPS, similarity(2.0, 1.0, (1.0, 2.0)), ThinPlateSpline(KNOTS, KNOTS + np.sin(KNOTS / 20))),
}
BOUND_PX, PX_MAKES = 0.1, 120.0
"""What every output may be off by, and how much a px of the images makes at most."""


def hills(size):
    x, y = np.moveaxis(pixel_centres(*size), -1, 0)
    return (3000 + 900 * np.sin(x / 9) * np.cos(y / 7) + 9 * x).astype(np.float32)


def geotiff(path: Path, pixels: np.ndarray) -> None:
    profile = {"driver": "GTiff", "width": pixels.shape[1], "height": pixels.shape[0], "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:32632", transform=PLACE, **profile) as file:
        file.write(pixels, 1)


def spaced(path: Path, pixels: np.ndarray) -> None:
    """0.5 mm a px."""
    tifffile.imwrite(path, pixels, resolution=(20, 20), resolutionunit="CENTIMETER")


def made(fixed, moving, found):
    """A registration that found this map, by tie points on it."""
    ties = Correspondences(found(KNOTS), KNOTS, np.ones(len(KNOTS)))
    return replace(
        registration(fixed, moving, transform=found),
        correspondences=ties,
        inliers=np.ones(len(ties), bool),
        residual_px=np.zeros(len(ties)),
    )


@pytest.fixture(params=BENT)
def bent(request):
    return BENT[request.param]


@pytest.fixture(params=[geotiff, spaced], ids=["geotiff", "spacing"])
def found(request, bent, cli, tmp_path, monkeypatch):
    """The map that is written, all outputs of which lie in the current directory."""
    monkeypatch.chdir(tmp_path)
    request.param(Path("fixed.tif"), hills(SIZE))
    request.param(Path("moving.tif"), hills(SIZE))
    with open_source("moving.tif") as moving:
        one = written_as_one(bent, moving)
    monkeypatch.setattr("xmatch.registration.pipeline.register", lambda fixed, moving, *_: made(fixed, moving, one))
    further = ["--vrt", "v.vrt", "--tfm", "t.tfm", "--displacement", "d.tif", "--points", "p.csv"]
    further += ["--gcps", "g.tif"] if request.param is geotiff else []
    said = cli("register", "fixed.tif", "moving.tif", "-o", "out.tif", "--resampling", "bilinear", *further)
    assert said.code == 0, said.err
    return one


def pixels(path: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read(1)


def inner(found, margin: float = 4.0) -> np.ndarray:
    """(h, w) bool: px of fixed that come from well inside moving."""
    back = found.inverse(pixel_centres(*SIZE))
    return ((back > margin) & (back < np.array(SIZE) - margin)).all(axis=-1)


def inside(xy: np.ndarray) -> np.ndarray:
    return ((xy > 2) & (xy < np.array(SIZE) - 2)).all(axis=-1)


def test_every_output_follows_a_map_that_bends(cli, bent, found):
    back, known = found.inverse(pixel_centres(*SIZE)), inner(found)
    assert known.sum() > 10_000 and np.abs(bent(KNOTS) - found(KNOTS)).max() < BOUND_PX
    moved = pixels("out.tif")

    document = json.loads(Path("out.report.json").read_text())
    assert np.array_equal(transform_from_dict(document["transform"])(KNOTS), found(KNOTS))

    for report, more in (("out.report.json", []), ("t.tfm", ["--fixed", "fixed.tif"])):
        again = cli("apply", report, "moving.tif", "-o", "a.tif", "--resampling", "bilinear", "--overwrite", *more)
        assert again.code == 0, again.err
        assert np.abs(pixels("a.tif") - moved)[known].max() < (PX_MAKES * BOUND_PX if more else 1e-9)

    assert np.abs(pixels("v.vrt") - moved)[known].max() < PX_MAKES * BOUND_PX

    fixed, moving = (sitk.ReadImage(f"{name}.tif") for name in ("fixed", "moving"))
    theirs = sitk.Resample(moving, fixed, sitk.ReadTransform("t.tfm"), sitk.sitkLinear)
    assert np.abs(sitk.GetArrayFromImage(theirs) - moved)[known].max() < PX_MAKES * BOUND_PX

    with rasterio.open("d.tif") as file:
        shift = np.moveaxis(file.read(), 0, -1)
    assert np.abs(pixel_centres(*SIZE) + shift - back)[known].max() < BOUND_PX
    assert np.abs(read_transform("d.tif")(KNOTS) - found(KNOTS))[inside(found(KNOTS))].max() < BOUND_PX

    if Path("g.tif").exists():
        with rasterio.open("g.tif") as file:
            gcps, _ = file.gcps
            told = float(re.search(r"within ([0-9.e-]+) px", file.tags()["XMATCH_GCPS"])[1])
        ground = np.column_stack(PLACE @ pixel_centres(*SIZE)[known].T)
        with GCPTransformer(gcps, tps=True) as gdal:
            rows, columns = gdal.rowcol(*ground.T, op=float)
        off = np.hypot(*(np.column_stack([columns, rows]) - back[known]).T)
        assert told <= BOUND_PX and off.max() < 1.5 * BOUND_PX

    assert cli("match", "fixed.tif", "moving.tif", "--spacing", "9", "-o", "dense.npz").code == 0
    dense = np.load("dense.npz")
    assert len(dense["fixed_xy"]) > 100 and dense["residual_px"].max() < 0.01
    assert np.abs(found(dense["moving_xy"]) - dense["fixed_xy"]).max() < 0.01
