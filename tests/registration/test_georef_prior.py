"""Georeferencing as a first guess: followed exactly where it is sound, questioned in plain words where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rasterio.crs import CRS as Reference
from rasterio.warp import transform as reproject
from scenes import SIDE, georeferenced, write

from xmatch.errors import InputError
from xmatch.geometry import Linear, affine
from xmatch.io import ReadOptions, open_source
from xmatch.io.rasters.source import Header
from xmatch.raster import Georef
from xmatch.registration.georef_prior import georef_prior

UTM32, UTM33, DEGREES = "EPSG:32632", "EPSG:32633", "EPSG:4326"
NORTH_UP = (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_200_000.0)


def header(grid=NORTH_UP, crs: str | None = UTM32, size=(200, 150), name="moving.tif", **more) -> Header:
    """A file of `size` px that says where it lies."""
    georef = None if crs is None else Georef(Reference.from_user_input(crs).to_wkt(), grid)
    return Header(name, "GTiff", *size, ("1",), "uint8", georef, **more)


FIXED = header(name="fixed.tif")


def on_ground(head: Header, xy: np.ndarray, crs: str) -> np.ndarray:
    """(N, 2) where pixels of a file lie, in another CRS."""
    ground = np.column_stack([xy, np.ones(len(xy))]) @ head.georef.matrix.T
    return np.transpose(reproject(head.georef.crs_wkt, crs, ground[:, 0], ground[:, 1]))


def ground_gap_m(prior, moving: Header, fixed: Header = FIXED) -> float:
    """How far apart on the ground the prior's pairs of pixels lie, over moving's part of fixed."""
    xy = np.random.default_rng(0).uniform(0, (moving.width, moving.height), (200, 2))
    landed = prior.transform(xy)
    inside = ((landed > 0) & (landed < (fixed.width, fixed.height))).all(axis=1)
    assert inside.sum() > 20
    return float(np.abs(on_ground(moving, xy, UTM32) - on_ground(fixed, landed, UTM32))[inside].max())


def test_without_georeferencing_there_is_no_prior():
    assert georef_prior(header(crs=None), header(crs=None)) is None


@pytest.mark.parametrize(
    ("fixed", "moving", "blamed", "option"),
    [
        (FIXED, replace(header(), georef=Georef(None, NORTH_UP)), "moving.tif", "--moving-assume-crs"),
        (replace(FIXED, georef=Georef(None, NORTH_UP)), header(), "fixed.tif", "--assume-crs"),
    ],
)
def test_a_crs_on_one_side_only_is_refused_and_says_which_option_supplies_it(fixed, moving, blamed, option):
    with pytest.raises(InputError) as refused:
        georef_prior(fixed, moving)
    assert refused.value.path == blamed
    assert f" {option}," in refused.value.hint and "--ignore-georef" in refused.value.hint


def test_the_crs_that_the_user_supplies_serves(tmp_path):
    placed = write(
        tmp_path / "no_crs.tif", np.ones((40, 50), np.uint8), **georeferenced(Linear(np.eye(3))) | {"crs": None}
    )
    with open_source(placed, ReadOptions(assume_crs=UTM32)) as source:
        assert source.header.georef.crs_wkt is not None
        prior = georef_prior(header(), source.header)
    np.testing.assert_allclose(prior.transform(np.array([[3.0, 4.0]])), [[3.0, 4.0]], atol=1e-6)


ORIENTATIONS = [
    np.diag([x, y]) @ turn for turn in (np.eye(2), np.array([[0, 1], [1, 0]])) for x in (1, -1) for y in (1, -1)
]


@pytest.mark.parametrize("turn", ORIENTATIONS, ids=lambda turn: " ".join(str(int(v)) for v in turn.ravel()))
def test_all_eight_orientations_of_a_grid_are_followed(turn):
    """Moving's x and y run north, south, east or west; its middle lies 30 px east, 20 px south of fixed's."""
    middle = np.array([601_000.0, 5_199_250.0]) + (300.0, -200.0)
    linear = 10.0 * turn
    origin = middle - linear @ (80, 60)
    moving = header((*linear[0], origin[0], *linear[1], origin[1]), size=(160, 120))
    prior = georef_prior(FIXED, moving)
    xy = np.array([[80.0, 60.0], [90.0, 60.0], [80.0, 65.0]])
    east_south = np.array([(0, 0), turn @ (10, 0), turn @ (0, 5)]) * (1, -1)
    np.testing.assert_allclose(prior.transform(xy), np.array([130.0, 95.0]) + east_south, atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((7.0, 4.0, 600_200.0, 4.0, -7.0, 5_199_500.0), (120, 90)),  # turned
        ((3.0, 2.0, 600_300.0, 0.5, -14.0, 5_199_700.0), (300, 60)),  # sheared, tall pixels
        ((0.4, 0.0, 600_700.0, 0.0, -0.4, 5_199_500.0), (900, 700)),  # 25 times finer
    ],
)
def test_turned_sheared_and_finer_grids_are_followed(grid, size):
    moving = header(grid, size=size)
    prior = georef_prior(FIXED, moving)
    assert prior.transform.kind == "affine"
    assert ground_gap_m(prior, moving) < 1e-3


@pytest.mark.parametrize(
    ("crs", "grid", "size"),
    [
        (UTM33, (10.0, 0.0, 143_700.0, 0.0, -10.0, 5_210_500.0), (260, 220)),
        (DEGREES, (1.2e-4, 0.0, 10.313, 0.0, -9e-5, 46.948), (240, 160)),
    ],
)
def test_another_crs_is_followed_to_a_tenth_of_a_px(crs, grid, size):
    moving = header(grid, crs, size)
    assert ground_gap_m(georef_prior(FIXED, moving), moving) < 1.0


def test_a_map_that_no_affine_follows_is_kept_bent():
    fixed = header((1000.0, 0.0, 300_000.0, 0.0, -1000.0, 5_600_000.0), size=(600, 500))
    moving = header((0.02, 0.0, 6.5, 0.0, -0.02, 50.0), DEGREES, (300, 200))
    prior = georef_prior(fixed, moving)
    assert prior.transform.kind == "grid"
    assert ground_gap_m(prior, moving, fixed) < 100.0, "a tenth of a px"
    straight = replace(prior, transform=affine(prior.linear[:2]))
    assert ground_gap_m(straight, moving, fixed) > 500.0


def test_files_that_lie_apart_are_refused_with_their_distance():
    east = header((10.0, 0.0, 600_000.0 + 5000.0, 0.0, -10.0, 5_200_000.0))
    with pytest.raises(InputError, match=r" 300 px away") as refused:
        georef_prior(FIXED, east)
    assert "swapped" not in refused.value.message
    assert "--ignore-georef" in refused.value.hint and refused.value.path == "moving.tif"


def test_interchanged_latitude_and_longitude_are_recognised_but_not_corrected():
    fixed = header((1e-4, 0.0, 10.31, 0.0, -1e-4, 46.95), DEGREES)
    moving = header((0.0, -1e-4, 46.949, 1e-4, 0.0, 10.312), DEGREES)
    with pytest.raises(InputError, match="axes swapped"):
        georef_prior(fixed, moving)


def test_a_projection_that_does_not_reach_is_refused():
    polar = header((1000.0, 0.0, -200_000.0, 0.0, -1000.0, 200_000.0), "EPSG:3031")
    with pytest.raises(InputError):
        georef_prior(FIXED, polar)


LOCAL = 'LOCAL_CS["a site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'


def test_a_local_crs_is_followed_by_itself_alone():
    assert georef_prior(header(crs=LOCAL), header(crs=LOCAL)).transform.kind == "affine"
    with pytest.raises(InputError, match="local CRS") as refused:
        georef_prior(FIXED, header(crs=LOCAL))
    assert refused.value.path == "moving.tif" and "--moving-assume-crs replaces it" in refused.value.hint


def test_a_crs_that_the_user_supplies_replaces_a_local_one(tmp_path):
    local = georeferenced(Linear(np.eye(3))) | {"crs": Reference.from_wkt(LOCAL)}
    path = write(tmp_path / "local.tif", np.ones((40, 50), np.uint8), **local)
    with open_source(path, ReadOptions(assume_crs=UTM32)) as source:
        assert any("local CRS" in note and "replaced" in note for note in source.header.notes)
        prior = georef_prior(header(), source.header)
    np.testing.assert_allclose(prior.transform(np.array([[3.0, 4.0]])), [[3.0, 4.0]], atol=1e-6)


def test_windows_cover_the_overlap_with_a_margin_and_stay_inside():
    moving = header((10.0, 0.0, 601_000.0, 0.0, -10.0, 5_199_500.0), size=(4000, 3000))
    prior = georef_prior(FIXED, moving)
    x, y, width, height = prior.fixed_window
    assert 70 <= x < 100 and 30 <= y < 50, "the overlap starts at (100, 50)"
    assert (x + width, y + height) == (200, 150)
    x, y, width, height = prior.moving_window
    assert (x, y) == (0, 0) and 100 <= width < 130 and 100 <= height < 130


def test_a_small_fixed_image_inside_a_large_moving_one_is_found():
    moving = header((10.0, 0.0, 200_000.0, 0.0, -10.0, 5_600_000.0), size=(80_000, 80_000))
    prior = georef_prior(FIXED, moving)
    assert prior.fixed_window == (0, 0, 200, 150)
    x, y, width, height = prior.moving_window
    assert (x, y, width, height) == pytest.approx((40_000, 40_000, 200, 150), abs=2)


def test_control_points_alone_are_a_first_guess(tmp_path):
    from rasterio.control import GroundControlPoint

    points = [
        GroundControlPoint(row=y, col=x, x=600_000.0 + 10 * x + 2 * y, y=5_200_000.0 - 10 * y + 1.5 * x)
        for x, y in ((0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE), (100, 50))
    ]
    path = write(tmp_path / "points.tif", np.ones((SIDE, SIDE), np.uint8), gcps=points, crs=UTM32)
    with open_source(path) as source:
        prior = georef_prior(FIXED, source.header)
    np.testing.assert_allclose(prior.transform(np.array([[50.0, 20.0]])), [[54.0, 12.5]], atol=0.01)
    assert any("control points" in note for note in prior.notes)


def degrees(west: float, north: float, size: float, px: int = 200) -> tuple[float, ...]:
    return (size / px, 0.0, west, 0.0, -size / px, north)


EAST_OF_FIJI = header(degrees(179.95, -16.0, 0.1), DEGREES, (200, 200), name="fixed.tif")
"""From 179.95 to 180.05 degrees east: across the antimeridian."""
UTM60, UTM01 = "EPSG:32760", "EPSG:32701"


def metres(crs: str, longitude: float, latitude: float, px_m: float = 60.0) -> tuple[float, ...]:
    """A grid of 200 x 200 px about a place."""
    (x,), (y,) = reproject(Reference.from_user_input(DEGREES), Reference.from_user_input(crs), [longitude], [latitude])
    return (px_m, 0.0, x - 100 * px_m, 0.0, -px_m, y + 100 * px_m)


@pytest.mark.parametrize(
    "moving",
    [
        header(degrees(-180.05, -16.0, 0.1), DEGREES, (200, 200)),
        header(degrees(-180.0, -16.0, 0.1), DEGREES, (200, 200)),
        header(metres(UTM60, 180.0, -16.05), UTM60, (200, 200)),
        header(metres(UTM01, -179.98, -16.05), UTM01, (200, 200)),
    ],
    ids=["the same place the other way round", "its eastern half", "UTM 60", "UTM 1"],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_antimeridian_is_a_line_like_any_other(moving, swapped):
    fixed, moving = (moving, EAST_OF_FIJI) if swapped else (EAST_OF_FIJI, moving)
    prior = georef_prior(fixed, moving)
    xy = np.random.default_rng(0).uniform(0, 200, (200, 2))
    landed = prior.transform(xy)
    inside = ((landed > 0) & (landed < 200)).all(axis=1)
    assert inside.sum() > 20
    gap = np.abs(on_ground(moving, xy, UTM60) - on_ground(fixed, landed, UTM60))[inside]
    assert gap.max() < 0.5 * 60


def test_near_the_pole_maps_that_bend_are_followed():
    polar = "EPSG:3413"
    fixed = header(metres(polar, 30.0, 88.0, 500.0), polar, (200, 200), name="fixed.tif")
    moving = header((0.05, 0.0, 20.0, 0.0, -0.002, 88.2), DEGREES, (400, 200))
    prior = georef_prior(fixed, moving)
    xy = np.random.default_rng(0).uniform(0, (400, 200), (200, 2))
    landed = prior.transform(xy)
    inside = ((landed > 0) & (landed < 200)).all(axis=1)
    assert inside.sum() > 20
    gap = np.linalg.norm(on_ground(moving, xy, polar) - on_ground(fixed, landed, polar), axis=1)[inside]
    assert gap.max() < 0.5 * 500


def test_where_there_is_nothing_to_give_a_crs_to_only_content_is_advised():
    photo = replace(header(name="photo.jpg"), georef=None, notes=("its RPCs (rational polynomials) are not used",))
    for pair in ((FIXED, photo), (photo, FIXED)):
        with pytest.raises(InputError) as refused:
            georef_prior(*pair)
        assert refused.value.path == "photo.jpg" and refused.value.hint == "--ignore-georef registers by content alone"


@pytest.mark.parametrize("crs", [DEGREES, "EPSG:3857"])
def test_a_scene_across_the_edge_of_a_world_map_is_told_how_to_recentre_it(crs):
    low, high = (-180.0, 180.0) if crs == DEGREES else (-20_037_508.0, 20_037_508.0)
    px = (high - low) / 720
    world = header((px, 0.0, low, 0.0, -px, high / 2), crs, (720, 360), "world.tif")
    scene = header((0.1, 0.0, 172.0, 0.0, -0.1, 10.0), DEGREES, (160, 120))
    with pytest.raises(InputError, match="across the edge") as refused:
        georef_prior(world, scene)
    assert "+lon_wrap=180" in refused.value.hint and "world.tif" in refused.value.hint
    recentred = header((0.5, 0.0, 0.0, 0.0, -0.5, 90.0), DEGREES, (720, 360), "world.tif")
    middle = georef_prior(recentred, scene).transform([[80.0, 60.0]])
    assert np.allclose(middle, [[360.0, 172.0]], atol=0.1)


def test_a_world_map_around_a_small_scene_is_no_scene_across_the_edge():
    world = header((0.7, 0.0, -180.0, 0.0, -0.7, 90.0), DEGREES, (514, 257), name="world.tif")
    prior = georef_prior(FIXED, world)
    assert prior.fixed_window == (0, 0, 200, 150)
