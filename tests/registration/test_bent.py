"""Maps that bend: between CRS over a large footprint, on grids of degrees, and between images themselves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from scenes import FIXED_AT, ground, optical, radar, registered, seen, write

from xmatch.coords import pixel_centres, to_centre_xy
from xmatch.geometry import similarity, translation
from xmatch.io.crs import projected

EUROPE, DEGREES = "EPSG:3035", "EPSG:4326"
LAND = ground(9, 520)
FIXED_SIZE, MOVING_SIZE = (300, 260), (280, 210)
ON_EUROPE = Affine(10_000.0, 0.0, 2_800_000.0, 0.0, -10_000.0, 4_700_000.0)
"""A grid of 3,000 x 2,600 km."""
LAND_AT = Affine(10_000.0, 0.0, 1_700_000.0, 0.0, -10_000.0, 5_800_000.0)
"""Where the cells of the land lie."""


def looked_at(grid: Affine, crs: str, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: the land on a grid of any CRS."""
    centres = pixel_centres(*size).reshape(-1, 2)
    on_map = projected(np.column_stack(grid @ centres.T), crs, EUROPE)
    cells = to_centre_xy(np.column_stack(~LAND_AT @ on_map.T)).astype(np.float32).reshape(size[1], size[0], 2)
    return cv2.remap(LAND, cells[..., 0], cells[..., 1], cv2.INTER_LINEAR)


def true_px(grid: Affine, xy: np.ndarray) -> np.ndarray:
    """(N, 2) fixed px of px of a moving image on a grid of degrees."""
    return np.column_stack(~ON_EUROPE @ projected(np.column_stack(grid @ xy.T), DEGREES, EUROPE).T)


@pytest.fixture(scope="module")
def europe(tmp_path_factory):
    path = tmp_path_factory.mktemp("bent") / "europe.tif"
    return write(path, optical(looked_at(ON_EUROPE, EUROPE, FIXED_SIZE)), crs=EUROPE, transform=ON_EUROPE)


@pytest.mark.parametrize(("columns", "rows"), [(0, 0), (3, -2)], ids=["right", "misplaced"])
def test_a_georeferencing_that_bends_is_not_made_worse_and_is_mended_where_it_is_off(europe, tmp_path, columns, rows):
    grid = Affine(0.12, 0.0, -6.0, 0.0, -0.12, 62.0)
    told = grid @ Affine.translation(columns, rows)
    pixels = radar(looked_at(grid, DEGREES, MOVING_SIZE))
    found = registered(europe, write(tmp_path / "moving.tif", pixels, crs=DEGREES, transform=told))
    xy = pixel_centres(*MOVING_SIZE, step=10).reshape(-1, 2)
    true = true_px(grid, xy)
    inside = ((true > 0) & (true < FIXED_SIZE)).all(axis=1)
    off = np.linalg.norm(found.transform(xy) - true, axis=1)[inside]
    assert inside.sum() > 100 and np.quantile(off, 0.9) < (0.4, 1.0)[columns > 0]
    assert found.verdict.accepted and found.verdict.ce90_px > np.quantile(off, 0.9)


@pytest.mark.parametrize("transform", ["auto", "similarity"])
def test_a_turn_of_the_ground_is_found_on_a_grid_of_degrees_far_from_the_equator(tmp_path, transform):
    """At 65 N a px of square degrees is 2.4 times as tall as wide, and turning the ground shears the grid."""
    size, utm = (240, 240), CRS.from_epsg(32633).to_wkt()
    middle = projected(np.array([[15.0, 65.0]]), DEGREES, utm)[0]
    around = Affine(300.0, 0.0, middle[0] - 63_000, 0.0, -300.0, middle[1] + 63_000)
    land = ground(3)
    step = 300 / 111_400
    degrees = Affine(step * 1.4, 0.0, 15 - 0.72, 0.0, -step * 1.4, 65 + 0.31)
    wide = (380, 165)
    on_land = np.column_stack(
        ~around @ projected(np.column_stack(degrees @ pixel_centres(*wide).reshape(-1, 2).T), DEGREES, utm).T
    )
    cells = to_centre_xy(on_land).astype(np.float32).reshape(wide[1], wide[0], 2)
    fixed = cv2.remap(land, cells[..., 0], cells[..., 1], cv2.INTER_LINEAR)
    turned = FIXED_AT.after(similarity(8.0, 1.0, (12.0, -14.0)))
    told = around @ Affine(*FIXED_AT.matrix[:2].ravel())
    found = registered(
        write(tmp_path / "degrees.tif", optical(fixed), crs=DEGREES, transform=degrees),
        write(tmp_path / "turned.tif", radar(seen(land, turned, size)), crs=utm, transform=told),
        transform=transform,
    )
    xy = pixel_centres(*size, step=10).reshape(-1, 2)
    true = np.column_stack(~degrees @ projected(np.column_stack(around @ turned(xy).T), utm, DEGREES).T)
    inside = ((true > 0) & (true < wide)).all(axis=1)
    off = np.linalg.norm(found.transform(xy) - true, axis=1)[inside]
    assert found.verdict.accepted
    assert inside.sum() > 100 and np.quantile(off, 0.9) < min(1.2, found.verdict.ce90_px)


SECTION = (400, 360)
MIDDLE = translation(80.0, 90.0)
"""Px of a section -> cells of its land."""


def bent(land: np.ndarray, amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """What lies on the land under a smooth field, and (h, w, 2) where each px truly lies in `seen(land, MIDDLE)`."""
    centres = pixel_centres(*SECTION)
    true = centres + amplitude * np.sin(2 * np.pi * centres[..., ::-1] / max(SECTION) + (0.4, 1.3))
    cells = to_centre_xy(MIDDLE(true.reshape(-1, 2))).astype(np.float32).reshape(SECTION[1], SECTION[0], 2)
    return cv2.remap(land, cells[..., 0], cells[..., 1], cv2.INTER_LINEAR), true


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    """An image, another sensor's of the same that is bent by up to 6 px each way, and where its px truly lie."""
    folder, land = tmp_path_factory.mktemp("section"), ground(4, 560)
    pixels, true = bent(land, 6.0)
    fixed, moving = folder / "fixed.tif", folder / "moving.tif"
    return write(fixed, optical(seen(land, MIDDLE, SECTION))), write(moving, radar(pixels)), true


def off_px(found, true: np.ndarray) -> np.ndarray:
    centres = pixel_centres(true.shape[1], true.shape[0])
    return np.linalg.norm(found.transform(centres.reshape(-1, 2)) - true.reshape(-1, 2), axis=1)


def test_a_global_map_of_images_that_bend_is_not_called_aligned(section):
    fixed, moving, true = section
    found = registered(fixed, moving, transform="homography", matcher="structural")
    assert np.quantile(off_px(found, true), 0.9) > 3
    assert not found.verdict.accepted


@pytest.mark.parametrize(("bend_px", "error_px"), [(0.0, 0.5), (3.0, 1.0), (12.0, 2.0)])
def test_auto_bends_as_the_images_do(tmp_path, bend_px, error_px):
    land = ground(4, 560)
    pixels, true = bent(land, bend_px)
    fixed = write(tmp_path / "fixed.tif", optical(seen(land, MIDDLE, SECTION)))
    found = registered(fixed, write(tmp_path / "moving.tif", radar(pixels)), matcher="structural")
    assert (found.transform.matrix is None) == (bend_px > 0) and found.verdict.accepted
    assert np.quantile(off_px(found, true), 0.9) < min(error_px, found.verdict.ce90_px)


def test_a_map_that_bends_with_them_is_and_its_expected_error_is_its_own(tmp_path):
    land = ground(4, 560)
    pixels, true = bent(land, 3.0)
    fixed = write(tmp_path / "fixed.tif", optical(seen(land, MIDDLE, SECTION)))
    moving = write(tmp_path / "moving.tif", radar(pixels))
    found = registered(fixed, moving, transform="grid")
    real = np.quantile(off_px(found, true), 0.9)
    assert found.verdict.accepted and found.transform.kind == "grid"
    assert real < found.verdict.ce90_px < 10
    centres = pixel_centres(*SECTION).reshape(-1, 2)
    expected = found.error_map.at(found.transform(centres))
    on = np.isfinite(expected)
    assert on.mean() > 0.9 and np.mean(off_px(found, true)[on] <= expected[on]) > 0.85
    assert found.error_map.share[found.error_map.ce90_px <= found.verdict.ce90_px].sum() >= 0.9
