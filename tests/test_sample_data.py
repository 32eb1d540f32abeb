"""The sample images agree with the truth that is written beside them."""

from __future__ import annotations

import json

import cv2
import landscape as scenery
import landscape_sensors
import make_sample_data as maker
import numpy as np
import pytest
import rasterio
import tifffile
import tissue as slides
from landscape import Cover, Landscape

SIZES = {"optical_size": (80, 70), "sar_size": (64, 60)}


def cross(shape: tuple[int, int], cells_per_px: float, width_px: float = 6.0, arm_px: float = 13.0) -> np.ndarray:
    """(H, W) bool, a cross beside the middle, so that a turn about the middle cannot hide; lengths in fixed px."""
    y, x = np.indices(shape) + 0.5
    x, y = (np.abs(v - at * n) / cells_per_px for v, at, n in ((x, 0.44, shape[1]), (y, 0.57, shape[0])))
    return ((x < width_px / 2) & (y < arm_px)) | ((y < width_px / 2) & (x < arm_px))


def middle_of(image: np.ndarray) -> np.ndarray:
    """(2,) middle of what stands out, corner-counted px as a mask."""
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.2)
    y, x = np.nonzero(image > (np.median(image) + np.percentile(image, 99)) / 2)
    return np.array([x.mean(), y.mean()]) + 0.5


def matrix_of(entry: dict) -> np.ndarray:
    return np.array(entry["moving_to_fixed"])


def flat_land_with_cross(rng: np.random.Generator, shape: tuple[int, int]) -> Landscape:
    """A paved cross, brighter than water for both sensors."""
    mark = cross(shape, maker.OPTICAL_M / scenery.GRID_M)
    cover = np.where(mark, Cover.PAVED, Cover.WATER).astype(np.uint8)
    level = np.zeros(shape, np.float32)
    return Landscape(level, level, cover, np.zeros(shape, np.int32), level)


def slide_with_cross(rng: np.random.Generator, shape: tuple[int, int]) -> slides.Tissue:
    mark = cross(shape, maker.HISTOLOGY_UM / slides.GRID_UM).astype(np.float32)
    none = np.zeros(shape, np.float32)
    return slides.Tissue(none, none, none, none, none, none, chromatin=mark, dna=mark)


@pytest.fixture
def smooth(monkeypatch):
    """Sensors without texture and speckle, so that the middle of a cross tells the geometry and nothing else."""
    for module in (landscape_sensors, slides):
        for name in ("smooth_noise", "fractal"):
            monkeypatch.setattr(module, name, lambda rng, shape, *rest: np.zeros(shape, np.float32))
    monkeypatch.setattr(maker, "SAR_LOOKS", 10_000)


def test_a_cross_on_the_ground_is_where_the_truth_says_in_both_images(tmp_path, smooth):
    entry = maker.landscape_pair(tmp_path, **SIZES, scene_of=flat_land_with_cross)
    with rasterio.open(tmp_path / "optical.tif") as fixed, rasterio.open(tmp_path / "sar.tif") as moving:
        in_fixed = middle_of(fixed.read(3))
        amplitude = moving.read(1)
    in_moving = middle_of(np.where(amplitude > 0, amplitude, np.median(amplitude)))
    assert np.hypot(*(maker.mapped(matrix_of(entry), in_moving) - in_fixed)) < 0.15


def test_a_cross_on_the_slide_is_where_the_truth_says_in_both_images(tmp_path, smooth):
    entry = maker.tissue_pair(tmp_path, fixed_size=(90, 80), moving_size=(70, 66), scene_of=slide_with_cross)
    in_fixed = middle_of(255 - tifffile.imread(tmp_path / "histology.ome.tif")[..., 1].astype(float))
    in_moving = middle_of(tifffile.imread(tmp_path / "fluorescence.ome.tif")[0])
    assert np.hypot(*(maker.mapped(matrix_of(entry), in_moving) - in_fixed)) < 0.15


def test_tie_points_lie_on_the_matrix_and_inside_both_images(tmp_path):
    entry = maker.landscape_pair(tmp_path, **SIZES, scene_of=flat_land_with_cross)
    ties = np.array(entry["tie_points"])
    assert len(ties) > 20
    np.testing.assert_allclose(maker.mapped(matrix_of(entry), ties[:, 2:]), ties[:, :2], atol=1e-3)
    assert (ties >= 0).all() and (ties < (*SIZES["optical_size"], *SIZES["sar_size"])).all()


def test_but_for_the_misplacement_the_truth_is_what_the_georeferencing_says():
    size = (480, 440)
    affine = maker._declared_sar_affine((640, 560), size)
    declared = maker._similarity_of_declared(affine, size)
    px = np.array([[3.0, 7.0], [470.0, 12.0], [240.0, 430.0]])
    on_ground = maker.reproject(maker.SAR_CRS, maker.OPTICAL_CRS, *maker.mapped(maker.matrix_of(affine), px).T)
    there = maker.mapped(maker.matrix_of(~maker.OPTICAL_AFFINE), np.transpose(on_ground))
    assert np.abs(maker.mapped(declared, px) - there).max() < 0.05


def test_the_same_seed_draws_the_same_valley_twice():
    first, second = (scenery.landscape(np.random.default_rng(3), (150, 170)) for _ in range(2))
    np.testing.assert_array_equal(first.cover, second.cover)
    np.testing.assert_array_equal(first.height_m, second.height_m)
    assert len(np.unique(first.cover)) >= 4


@pytest.fixture(scope="module")
def shipped():
    folder = maker.Path(maker.__file__).parent
    return folder, json.loads((folder / "truth.json").read_text())


def test_the_shipped_folder_is_small_and_complete(shipped):
    folder, truth = shipped
    assert sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) < 3_000_000
    for entry in truth["pairs"]:
        assert (folder / entry["fixed"]).is_file() and (folder / entry["moving"]).is_file()


def test_the_shipped_pairs_have_what_their_readme_promises(shipped):
    folder, _ = shipped
    with rasterio.open(folder / "optical.tif") as optical, rasterio.open(folder / "sar.tif") as sar:
        assert (optical.count, optical.dtypes[0], optical.crs.to_epsg(), optical.res) == (4, "uint16", 32632, (10, 10))
        assert optical.descriptions == ("Blue", "Green", "Red", "NIR") and optical.overviews(1)
        assert (sar.count, sar.dtypes[0], sar.crs.to_epsg(), sar.res, sar.nodata) == (1, "uint16", 32633, (14, 14), 0)
        collar = 1 - np.mean(sar.dataset_mask() > 0)
        assert 0.05 < collar < 0.4
    for name, spacing, kind in (("histology.ome.tif", "2.0", "uint8"), ("fluorescence.ome.tif", "3.1", "uint16")):
        with tifffile.TiffFile(folder / name) as file:
            assert file.is_ome and f'PhysicalSizeX="{spacing}"' in file.ome_metadata
            assert file.series[0].dtype == kind
