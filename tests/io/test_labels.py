"""What counts as labels, which are never mixed, and what as amounts, which are."""

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from made_images import write_geotiff
from memory_source import MemorySource

from xmatch.geometry import similarity
from xmatch.io import open_source
from xmatch.io.rasters.labels import holds_labels
from xmatch.raster import Grid
from xmatch.resampling.registered_file import write_registered

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIZE = 240
TURN = similarity(7.0, 1.03, (4.0, -3.0))


def regions(count: int, order: str = "random") -> np.ndarray:
    """Cells around `count` random points, numbered at random or as the points follow each other in rows."""
    rng = np.random.default_rng(5)
    points = rng.random((count, 2)) * SIZE
    if order == "rows":
        points = points[np.lexsort((points[:, 1], points[:, 0] // 20))]
    y, x = np.mgrid[:SIZE, :SIZE]
    return ((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2).argmin(axis=-1)


def cells(radius: int = 6) -> np.ndarray:
    """Round things that are numbered, on 0."""
    image = np.zeros((SIZE, SIZE), np.uint16)
    for number, (x, y) in enumerate(np.random.default_rng(2).integers(0, SIZE, (150, 2)).tolist(), 1):
        cv2.circle(image, (x, y), radius, number, -1)
    return image


def relief(rise: float, noise: float = 0.0) -> np.ndarray:
    """Hills of many sizes from 0 to `rise`."""
    rng = np.random.default_rng(8)
    hills = sum(s * cv2.GaussianBlur(rng.normal(size=(SIZE, SIZE)) * s, (0, 0), s) for s in (3, 7, 15, 31))
    return (hills - hills.min()) / np.ptp(hills) * rise + rng.normal(0, noise or 1e-9, hills.shape)


def scan(levels: int = 256) -> np.ndarray:
    """Smooth letters, as scanners and drawing programs render them."""
    page = np.full((SIZE, SIZE), 255, np.uint8)
    for line in range(9):
        cv2.putText(page, f"{line} Quick fox", (4, 25 + 25 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 2, cv2.LINE_AA)
    return page // (256 // levels)


LABELS = {
    "classes": regions(60).astype(np.uint8) % 7,
    "codes": np.array([11, 21, 22, 41, 42, 52, 90, 95], np.uint8)[regions(120) % 8],
    "signed": (regions(60) % 5 - 2).astype(np.int16),
    "instances": regions(300).astype(np.int32) * 1000,
    "instances in rows": regions(300, "rows").astype(np.uint16),
    "superpixels": np.arange(400, dtype=np.uint32).reshape(20, 20).repeat(12, axis=0).repeat(12, axis=1),
    "cells": cells(),
    "mask": np.uint8(255) * (relief(1) > 0.6),
    "outlined": np.where(cv2.Laplacian(regions(80).astype(np.float32), -1) == 0, regions(80) % 2, 2).astype(np.uint8),
    "classes with salt": np.where(np.random.default_rng(0).random((SIZE, SIZE)) < 0.1, 3, regions(60) % 9).astype(
        np.uint8
    ),
}
AMOUNTS = {
    "photograph": relief(255, noise=3).clip(0, 255).astype(np.uint8),
    "12 bits": relief(4095, noise=8).clip(0, 4095).astype(np.uint16),
    "12 bits on black": (4000 * np.maximum(relief(1) - 0.5, 0)).astype(np.uint16),
    "mountains": relief(900).astype(np.int16),
    "plain": relief(25).astype(np.int16),
    "flat plain": relief(5).astype(np.int16),
    "noisy plain": np.rint(relief(30, noise=0.5)).astype(np.int16),
    "index in 200": relief(200).astype(np.uint8),
    "index in tenths": np.rint(relief(10, noise=0.2)).astype(np.int8),
    "index in steps of 10": (np.rint(relief(12)) * 10).astype(np.uint8),
    "scan": scan(),
    "scan in 16 greys": scan(16),
    "scan with noise": np.clip(scan() + np.random.default_rng(1).normal(0, 2, (SIZE, SIZE)), 0, 255).astype(np.uint8),
    "enlarged photograph": relief(255, 20)
    .clip(0, 255)
    .astype(np.uint8)[:120, :120]
    .repeat(2, axis=0)
    .repeat(2, axis=1),
    "whole floats": (regions(60) % 7).astype(np.float32),
    "constant": np.full((SIZE, SIZE), 7, np.uint8),
}


@pytest.mark.parametrize("name", LABELS)
def test_these_are_labels(name):
    assert holds_labels(MemorySource(LABELS[name]))


@pytest.mark.parametrize("name", AMOUNTS)
def test_these_are_amounts(name):
    assert not holds_labels(MemorySource(AMOUNTS[name]))


def test_values_without_data_do_not_count():
    """A class map with a noisy margin, and a photograph in a flat one."""
    inner = np.zeros((SIZE, SIZE), bool)
    inner[40:200, 40:200] = True
    classes = np.where(inner, LABELS["classes"], AMOUNTS["photograph"])
    photograph = np.where(inner, AMOUNTS["photograph"], 0)
    assert holds_labels(MemorySource(classes, inner)) and not holds_labels(MemorySource(photograph, inner))


def test_every_band_counts_but_for_constant_ones():
    classes, photograph, constant = LABELS["classes"], AMOUNTS["photograph"], AMOUNTS["constant"]
    assert holds_labels(MemorySource(np.stack([classes, constant, classes.T])))
    assert not holds_labels(MemorySource(np.stack([classes, photograph])))


def test_few_things_in_a_large_image_are_found():
    large = np.zeros((2000, 3000), np.uint16)
    for number in range(1, 200):
        y, x = np.random.default_rng(number).integers(0, (1970, 2970))
        large[y : y + 30, x : x + 30] = number
    source = MemorySource(large)
    assert holds_labels(source)
    assert sum(width * height for *_, width, height in source.reads) < 0.5 * large.size


def test_of_a_photograph_one_window_is_read():
    source = MemorySource(np.random.default_rng(0).integers(0, 255, (3, 1500, 1500), dtype=np.uint8))
    assert not holds_labels(source) and len(source.reads) == 1


@pytest.mark.parametrize("name", ["classes", "instances", "cells"])
def test_no_label_is_invented_unless_asked_and_it_is_told_either_way(tmp_path, name):
    path = write_geotiff(tmp_path / "labels.tif", LABELS[name][None])
    with open_source(path) as moving:
        grid = Grid.of(moving.header)
        auto = write_registered(tmp_path / "auto.tif", moving, TURN, grid)
        asked = write_registered(tmp_path / "asked.tif", moving, TURN, grid, resampling="cubic")
        nearest = write_registered(tmp_path / "nearest.tif", moving, TURN, grid, resampling="nearest")
    with rasterio.open(tmp_path / "auto.tif") as first, rasterio.open(tmp_path / "nearest.tif") as second:
        assert set(np.unique(first.read())) <= set(np.unique(LABELS[name])) | {0}
        assert np.array_equal(first.read(), second.read())
    assert auto["resampling"] == "nearest" and "--resampling cubic" in auto["notes"][0]
    assert asked["resampling"] == "cubic" and "--resampling nearest" in asked["notes"][0]
    assert nearest["notes"] == ()


def test_overviews_of_labels_are_not_averaged(tmp_path):
    labels = np.tile(LABELS["instances"].astype(np.uint16), (5, 5))
    grid = Grid(1200, 1200, spacing_um=(0.5, 0.5), medical=True)
    write_registered(tmp_path / "o.ome.tif", MemorySource(labels, medical=True), similarity(0.0), grid)
    write_registered(tmp_path / "o.tif", MemorySource(labels), similarity(0.0), Grid(1200, 1200))
    with tifffile.TiffFile(tmp_path / "o.ome.tif") as tif, rasterio.open(tmp_path / "o.tif", overview_level=0) as cog:
        for overview in (tif.series[0].levels[1].asarray(), cog.read(1)):
            assert len(overview) == 600 and set(np.unique(overview)) <= set(np.unique(labels))
