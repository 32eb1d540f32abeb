"""What a user gives by hand: where to start, where to look, and what to measure by."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import (
    CRS,
    FIXED_AT,
    SIDE,
    distance_px,
    georeferenced,
    ground,
    optical,
    placed,
    radar,
    registered,
    seen,
    to_fixed,
    write,
)

from xmatch.errors import InputError, UsageError
from xmatch.geometry import Linear
from xmatch.io import ReadOptions, open_source
from xmatch.io.areas import read_polygons
from xmatch.io.crs import projected
from xmatch.registration.looked_at import roi_window
from xmatch.registration.options import RegisterOptions

LAND = ground(3)
TURNED_AT, NEAR_AT = placed(100, 1.3, (9, -14)), placed(4, 1.03, (9, -14))
TURNED, NEAR = to_fixed(TURNED_AT), to_fixed(NEAR_AT)
PLACES = np.array([[60.0, 70.0], [180.0, 60.0], [170.0, 180.0], [70.0, 170.0], [120.0, 110.0], [130.0, 200.0]])
"""Of moving, px."""
CLICKS = np.array([[2.0, -1.0], [-1.5, 2.0], [1.0, 1.5], [-2.0, -1.0], [1.0, -2.0], [0.5, 1.0]])
"""How far beside the right place a hand clicks, fixed px."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("given")


@pytest.fixture(scope="module")
def fixed(folder) -> Path:
    return write(folder / "fixed.tif", optical(seen(LAND, FIXED_AT)))


@pytest.fixture(scope="module")
def turned(folder) -> Path:
    return write(folder / "turned.tif", radar(seen(LAND, TURNED_AT)))


@pytest.fixture(scope="module")
def near(folder) -> Path:
    return write(folder / "near.tif", radar(seen(LAND, NEAR_AT)))


def points(path: Path, true: Linear, count: int, off: np.ndarray | float = 0.0) -> str:
    """A file of points as `xmatch` and people write them."""
    rows = np.hstack([true(PLACES[:count]) + off, PLACES[:count]])
    path.write_text("fixed_x,fixed_y,moving_x,moving_y\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return str(path)


def geojson(path: Path, ring: list, crs: str | None = None) -> str:
    polygon = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": [polygon]}))
    return str(path)


@pytest.mark.parametrize("count", [2, 3])
def test_points_lead_to_what_the_search_would_not_have_tried(fixed, turned, tmp_path, count):
    given = points(tmp_path / "hand.csv", TURNED, count, CLICKS[:count])
    found = registered(fixed, turned, tie_points=given)
    # Three clicks make a shear of their own, which the images contradict where it is clearly wrong only.
    assert found.verdict.accepted and distance_px(found.transform, TURNED) < (1.5 if count == 3 else 1.0)
    assert any("points set by hand" in note for note in found.notes)


def test_without_them_it_is_not_found(fixed, turned):
    assert not registered(fixed, turned, matcher="structural").verdict.accepted


def test_a_map_that_is_nearly_right_is_refined(fixed, turned):
    start = Linear(np.array([[1, 0, 6.0], [0, 1, -5], [0, 0, 1]]), "translation").after(TURNED)
    found = registered(fixed, turned, initial=",".join(map(str, start.matrix.ravel())))
    assert found.verdict.accepted and distance_px(found.transform, TURNED) < 1.0


def test_a_map_may_be_that_of_a_report(fixed, turned, tmp_path):
    Path(tmp_path / "old.json").write_text(json.dumps({"transform": TURNED.as_dict()}))
    assert distance_px(registered(fixed, turned, initial=str(tmp_path / "old.json")).transform, TURNED) < 1.0


def test_a_perspective_start_is_followed_as_one(fixed, near):
    tilt = np.array([[1, 0, 0], [0, 1, 0], [3e-4, -2e-4, 1]])
    true = Linear(NEAR.matrix @ tilt, "homography")
    at = cv2.warpPerspective(radar(seen(LAND, NEAR_AT)), np.linalg.inv(tilt), (SIDE, SIDE))
    tilted = write(near.with_name("tilted.tif"), at)
    found = registered(fixed, tilted, initial=",".join(map(str, true.matrix.ravel())))
    assert found.verdict.accepted and distance_px(found.transform, true) < 1.5


def test_the_search_stays_as_near_as_it_is_told(fixed, near):
    far = Linear(np.array([[1, 0, 45.0], [0, 1, 0], [0, 0, 1]]), "translation").after(NEAR)
    numbers = ",".join(map(str, far.matrix[:2].ravel()))
    for reach, found in ((60.0, True), (10.0, False)):
        near_it = registered(fixed, near, initial=numbers, near_shift_px=reach, matcher="structural")
        assert near_it.verdict.accepted == found


def test_points_count_for_more_than_georeferencing(folder, tmp_path):
    lying = to_fixed(placed(0, 1.0, (150, 0)))
    one = write(tmp_path / "one.tif", optical(seen(LAND, FIXED_AT)), **georeferenced(FIXED_AT))
    other = write(tmp_path / "other.tif", radar(seen(LAND, NEAR_AT)), **georeferenced(placed(0, 1.0, (150, 0))))
    found = registered(one, other, tie_points=points(tmp_path / "hand.csv", NEAR, 4))
    assert found.verdict.accepted and distance_px(found.transform, NEAR) < 1.0 < distance_px(lying, NEAR)


def test_points_alone_make_a_map_whose_error_they_foretell(fixed, tmp_path):
    blank = write(tmp_path / "blank.tif", np.full((SIDE, SIDE), 7, np.uint8))
    found = registered(fixed, blank, tie_points=points(tmp_path / "p.csv", NEAR, 6, CLICKS), tie_points_only=True)
    assert found.verdict.accepted and "6 points set by hand alone" in found.verdict.reason
    assert found.transform.kind == "similarity"
    assert distance_px(found.transform, NEAR) < found.verdict.ce90_px < 10
    assert np.isnan(found.verdict.probability)


def test_points_alone_that_nothing_tests_are_not_trusted(fixed, near, tmp_path):
    found = registered(fixed, near, tie_points=points(tmp_path / "p.csv", NEAR, 2), tie_points_only=True)
    assert not found.verdict.accepted and found.verdict.ce90_px is None and found.transform is not None
    assert "more are needed" in found.verdict.reason


def test_points_alone_that_contradict_each_other_are_not_trusted(fixed, near, tmp_path):
    off = np.zeros((6, 2))
    off[4] = 90, -70
    found = registered(fixed, near, tie_points=points(tmp_path / "p.csv", NEAR, 6, off), tie_points_only=True)
    assert not found.verdict.accepted and "point 5 by most" in found.verdict.reason


def test_points_of_a_slide_that_lies_upside_down_turn_it_over(fixed, near, tmp_path):
    over = NEAR.after(Linear(np.array([[-1.0, 0, SIDE], [0, 1, 0], [0, 0, 1]]), "similarity"))
    found = registered(fixed, near, tie_points=points(tmp_path / "p.csv", over, 6, CLICKS), tie_points_only=True)
    assert found.verdict.accepted and distance_px(found.transform, over) < 4.0


@pytest.mark.parametrize("kind, needs", [("affine", 3), ("homography", 4), ("tps", 10)])
def test_a_kind_that_the_points_are_too_few_for_is_refused(fixed, near, tmp_path, kind, needs):
    given = points(tmp_path / "p.csv", NEAR, 2)
    with pytest.raises(InputError, match=f"holds 2 points; a map of kind {kind} needs {needs}"):
        registered(fixed, near, tie_points=given, tie_points_only=True, transform=kind)


HALF = [[120, 0], [240, 0], [240, 240], [120, 240], [120, 0]]
"""The right half of an image."""


@pytest.mark.parametrize("form", ["raster", "roi polygons"])
def test_nothing_outside_of_what_is_to_be_looked_at_is_matched(fixed, near, tmp_path, form):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, 120:] = 1
    given = {
        "raster": lambda: {"mask": str(write(tmp_path / "mask.tif", mask))},
        "roi polygons": lambda: {"roi": geojson(tmp_path / "half.geojson", HALF)},
    }[form]()
    found = registered(fixed, near, **given)
    assert found.verdict.accepted and distance_px(found.transform, NEAR) < 2.0
    assert len(found.correspondences) and found.correspondences.fixed_xy[:, 0].min() > 118


def test_a_mask_of_moving_hides_what_lies_elsewhere(fixed, near, tmp_path):
    """Half of moving shows the very ground of fixed, elsewhere: alone it would win."""
    collage = radar(seen(LAND, NEAR_AT))
    wrong = seen(LAND, placed(0, 1.0, (-60, 0)))
    collage[:, 100:] = optical(wrong)[:, 100:]
    moving = write(tmp_path / "collage.tif", collage)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, :100] = 255
    found = registered(fixed, moving, moving_mask=str(write(tmp_path / "mask.tif", mask)))
    assert (
        distance_px(found.transform, NEAR, (100, SIDE)) < 3.0 < distance_px(registered(fixed, moving).transform, NEAR)
    )


def test_polygons_and_bounds_are_read_on_the_ground(tmp_path):
    one = write(tmp_path / "one.tif", optical(seen(LAND, FIXED_AT)), **georeferenced(FIXED_AT))
    at = np.array(HALF) @ np.diag([10.0, -10.0]) + np.array([600_900.0, 5_199_100.0])
    (west, south), (east, north) = at.min(axis=0), at.max(axis=0)
    utm = geojson(tmp_path / "utm.geojson", at.tolist())
    lonlat = projected(at, CRS, "OGC:CRS84").tolist()
    with open_source(one) as fixed:
        assert roi_window(f"bounds:{west},{south},{east},{north}", fixed.header) == (120, 0, 120, 240)
        assert roi_window(utm, fixed.header) == (120, 0, 120, 240)
        for area in (utm, geojson(tmp_path / "lonlat.geojson", lonlat, "urn:ogc:def:crs:OGC:1.3:CRS84")):
            inside = read_polygons(area, fixed.header).inside((0, 0, 240, 240), (120, 120))
            assert not inside[:, :60].any() and inside[:, 61:].all()


def test_a_region_narrows_a_georeferenced_pair(tmp_path):
    one = write(tmp_path / "one.tif", optical(seen(LAND, FIXED_AT)), **georeferenced(FIXED_AT))
    other = write(tmp_path / "other.tif", radar(seen(LAND, NEAR_AT)), **georeferenced(FIXED_AT))
    found = registered(one, other, roi="120,0,120,240")
    assert found.verdict.accepted and found.correspondences.fixed_xy[:, 0].min() > 118


CONTROL = np.array([[100.0, 100.0], [140.0, 90.0], [110.0, 150.0], [150.0, 150.0]])


def control(path: Path, off: tuple[float, float]) -> str:
    rows = np.hstack([NEAR(CONTROL) + off, CONTROL])
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return str(path)


def test_check_points_measure_and_change_nothing(fixed, near, tmp_path):
    """Wrong ones are believed by the measurement, and by nothing else."""
    plain = registered(fixed, near)
    found = registered(fixed, near, check_points=control(tmp_path / "wrong.csv", (30, 40)))
    assert found.transform.as_dict() == plain.transform.as_dict() and found.verdict == plain.verdict
    assert (found.check_points.count, found.check_points.unmapped) == (4, 0)
    off = np.linalg.norm(plain.transform(CONTROL) - NEAR(CONTROL) - (30, 40), axis=1)
    assert found.check_points.rmse_px == pytest.approx(np.sqrt(np.mean(off**2)))
    assert found.check_points.ce90_px == found.check_points.max_px == pytest.approx(off.max())
    assert plain.check_points is None


def test_the_ground_is_measured_too(tmp_path):
    one = write(tmp_path / "one.tif", optical(seen(LAND, FIXED_AT)), **georeferenced(FIXED_AT))
    moving = write(tmp_path / "near.tif", radar(seen(LAND, NEAR_AT)))
    found = registered(
        one, moving, ReadOptions(ignore_georef=True), use_georef=False, check_points=control(tmp_path / "c.csv", (3, 4))
    )
    assert found.check_points.ground_unit is None

    given = points(tmp_path / "p.csv", NEAR, 6)
    found = registered(
        one, moving, tie_points=given, tie_points_only=True, check_points=control(tmp_path / "c.csv", (3, 4))
    )
    assert found.check_points.rmse_ground == pytest.approx(50, rel=1e-3) and found.check_points.ground_unit == "m"


def test_a_tie_point_checks_nothing(fixed, near, tmp_path):
    hand, copy = points(tmp_path / "hand.csv", NEAR, 4), points(tmp_path / "copy.csv", NEAR, 2)
    with pytest.raises(InputError, match="2 of its points are tie points"):
        registered(fixed, near, tie_points=hand, check_points=copy)


@pytest.mark.parametrize(
    "options",
    [
        {"tie_points": "a.csv", "initial": "1,0,0,0,1,0"},
        {"tie_points_only": True},
        {"near_shift_px": 5.0},
        {"near_shift_px": 0.0, "initial": "1,0,0,0,1,0"},
        {"near_shift_px": 5.0, "tie_points": "a.csv", "tie_points_only": True},
        {"tie_points": "a.csv", "check_points": "a.csv"},
    ],
)
def test_what_contradicts_itself_is_refused(options):
    with pytest.raises(UsageError):
        RegisterOptions(**options)


@pytest.mark.parametrize(
    "options, error, said",
    [
        ({"initial": "1,0,0,0,1"}, UsageError, "5 numbers"),
        ({"initial": "1,0,0,1,0,0"}, UsageError, "makes no map"),
        ({"initial": "1,0,900,0,1,0"}, InputError, "beside the fixed one"),
        ({"initial": "none.tfm"}, InputError, "none.tfm|cannot be read"),
        ({"roi": "1,2,3"}, UsageError, "not understood"),
        ({"roi": "1,2,-3,4"}, UsageError, "not understood"),
        ({"roi": "500,0,20,20"}, InputError, "lies beside"),
        ({"roi": "bounds:1,2,3,4"}, InputError, "no georeferencing"),
    ],
)
def test_what_makes_no_sense_for_the_images_is_refused(fixed, near, options, error, said):
    with pytest.raises(error, match=said):
        registered(fixed, near, **options)


@pytest.mark.parametrize(
    "text, said",
    [
        ("{}", "no GeoJSON"),
        ('{"type": "Point", "coordinates": [1, 2]}', "no polygon"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}', "four or more"),
        ('{"type": "Polygon", "coordinates": [[[900, 2], [980, 4], [950, 90], [900, 2]]]}', "lie beside"),
    ],
)
def test_polygons_that_cannot_be_used_are_refused(fixed, near, tmp_path, text, said):
    Path(tmp_path / "mask.geojson").write_text(text)
    with pytest.raises(InputError, match=said):
        registered(fixed, near, mask=str(tmp_path / "mask.geojson"))


def test_a_mask_of_another_size_is_refused(fixed, near, tmp_path):
    small = write(tmp_path / "mask.tif", np.ones((SIDE, SIDE - 1), np.uint8))
    with pytest.raises(InputError, match="239 x 240 px"):
        registered(fixed, near, mask=str(small))
