"""The map of a batch: every pair where it lies on the Earth, north up, together across the date line."""

import re

import numpy as np
import pytest

from xmatch.geometry import translation
from xmatch.report.footprints import footprint, footprint_map

UTM33, LOCAL = "EPSG:32633", 'LOCAL_CS["hall",UNIT["metre",1]]'


def image(crs: str | None) -> dict:
    georef = {"affine": (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0), "crs_wkt": crs}
    return {"width": 200, "height": 100, "georef": georef}


def document(ok: bool, crs: str | None = UTM33) -> dict:
    return {"ok": ok, "fixed": image(crs), "moving": image(None), "transform": translation(1000, 0).as_dict()}


def test_a_trusted_pair_lies_where_its_map_lays_it_and_another_where_fixed_does():
    """500 km east of UTM 33 is its middle meridian, 15 degrees; 10 km are an eighth of a degree at 45 north."""
    untrusted, trusted = (np.array(footprint(document(ok))) for ok in (False, True))
    assert untrusted[0] == pytest.approx([15.0, 45.15348], abs=1e-3)
    assert (trusted - untrusted).mean(axis=0) == pytest.approx([0.127, 0.0], abs=1e-3)


@pytest.mark.parametrize("crs", [None, LOCAL])
def test_what_has_no_place_on_the_earth_has_no_outline(crs):
    assert footprint(document(True, crs)) is None


def square(longitude: float, latitude: float, side: float = 0.1):
    corners = ((0, side), (side, side), (side, 0), (0, 0))
    return tuple((longitude + x, latitude + y) for x, y in corners)


def places(drawn) -> dict[int, np.ndarray]:
    """Index -> middle of its outline as drawn."""
    return {
        outline.index: np.array(re.findall(r"[-\d.]+", outline.path), float).reshape(-1, 2).mean(axis=0)
        for outline in drawn.outlines
    }


def test_north_is_up_and_east_is_right():
    drawn = footprint_map([(0, square(10, 50)), (1, square(11, 50)), (2, square(10, 51))])
    at = places(drawn)
    assert at[1][0] > at[0][0] and at[2][1] < at[0][1]
    # a degree of longitude is shorter, by the cosine of the latitude in the middle
    assert (at[1][0] - at[0][0]) / (at[0][1] - at[2][1]) == pytest.approx(np.cos(np.radians(50.55)), rel=1e-3)


def test_pairs_on_both_sides_of_the_date_line_stay_together():
    drawn = footprint_map([(0, square(179.8, -17)), (1, square(-179.9, -17))])
    at = places(drawn)
    assert at[1][0] - at[0][0] > 100
    assert {label[-1] for _, label in drawn.meridians} >= {"E", "W"}


def test_all_lies_within_the_frame_and_what_is_too_small_to_be_seen_has_a_dot():
    drawn = footprint_map([(0, square(0, 0, 30)), (1, square(3, 3, 0.001))])
    assert [outline.index for outline in drawn.outlines] == [0, 1]
    assert [outline.dot is None for outline in drawn.outlines] == [True, False]
    for at in places(drawn).values():
        assert 0 < at[0] < drawn.width and 0 < at[1] < drawn.height - drawn.margin


def test_one_pair_alone_is_a_map_too():
    assert len(footprint_map([(4, square(10, 50))]).outlines) == 1
    assert footprint_map([]) is None
