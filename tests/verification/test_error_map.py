"""The expected error place by place: larger where the images say that the map is off, and where nothing holds it."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.coords import pixel_centres
from xmatch.geometry.outlines import cell_centres
from xmatch.result import ErrorMap
from xmatch.verification.calibration import calibrated_matchers
from xmatch.verification.error_map import Seen, calibrated, error_map, global_error

WIDTH, HEIGHT = 240, 180
PLACES = pixel_centres(WIDTH, HEIGHT, step=3).reshape(-1, 2)
LATTICE = cell_centres(WIDTH, HEIGHT, 12, 9)


def seen(off_px, at=LATTICE) -> Seen:
    """Steady tie points that lie off the map by a function of the place."""
    return Seen(at, np.array([off_px(x, y) for x, y in at], dtype=float).reshape(-1, 2), np.ones(len(at), bool))


def exact(x, y):
    return 0.2, -0.1


def bent(x, y):
    """Right on the left half, up to 6 px off on the right."""
    return max(0.0, x - WIDTH / 2) / (WIDTH / 2) * 6, 0.0


def found(ties: Seen, regions: Seen | None = None, **changes) -> ErrorMap:
    made = error_map(
        PLACES, ties, seen(exact) if regions is None else regions, **({"px": 1.0, "bend_px": 0.0} | changes)
    )
    assert made is not None
    return made


def test_cells_cover_the_overlap_and_their_shares_are_all_of_it():
    made = found(seen(exact))
    assert made.ce90_px.shape == (9, 12) and made.share.sum() == pytest.approx(1)
    assert np.isfinite(made.ce90_px).all() and not made.extrapolated.any()
    np.testing.assert_allclose(made.cell_px, 20, rtol=0.02)
    assert np.isfinite(made.at(PLACES)).all()  # the outermost ones too


def test_an_overlap_one_place_wide_has_a_map():
    strip = error_map(PLACES[PLACES[:, 0] < 3], seen(exact), seen(exact), px=1.0, bend_px=0.0)
    assert strip is not None and strip.share.sum() == pytest.approx(1)


def test_where_tie_points_lie_off_the_map_the_error_is_larger():
    made, right = found(seen(bent), seen(bent)), found(seen(exact))
    left_half, right_half = made.ce90_px[:, :3], made.ce90_px[:, -3:]
    assert right_half.min() > 1.1 * left_half.max() and right_half.mean() > 1.5 * right.ce90_px[:, -3:].mean()


def test_no_cell_says_less_than_its_own_tie_points_show():
    """A part that lies elsewhere as one, while most of the image fits."""
    made = found(seen(lambda x, y: (6.0 if x > 0.75 * WIDTH else 0.0, 0.0)))
    assert made.ce90_px[:, -1].min() > 5.5


def test_an_edge_that_no_tie_point_holds_is_continued_and_the_more_in_error_the_more_the_map_bends():
    held = LATTICE[LATTICE[:, 0] < 0.6 * WIDTH]
    made = found(seen(exact, held))
    assert made.extrapolated[:, -2:].all() and not made.extrapolated[:, :7].any()
    assert made.ce90_px[:, -1].min() > made.ce90_px[:, 3].max()
    lost = found(seen(exact, held), bend_px=8.0)
    assert np.nanmean(lost.ce90_px[:, -2:]) > 1.2 * made.ce90_px[:, -2:].mean()


def test_nothing_is_said_where_the_images_do_not_overlap():
    corner = (PLACES[:, 0] < 120) | (PLACES[:, 1] < 90)
    made = error_map(PLACES[corner], seen(exact), seen(exact), px=1.0, bend_px=0.0)
    assert made is not None and np.isnan(made.ce90_px[-3:, -4:]).all() and np.isfinite(made.ce90_px[:3]).all()
    assert error_map(PLACES[:5], seen(exact), seen(exact), px=1.0, bend_px=0.0) is None
    at = made.at(np.array([[10.0, 10.0], [230.0, 170.0], [-3.0, 5.0], [np.nan, 5.0]]))
    assert at[0] == made.ce90_px[0, 0] and np.isnan(at[1:]).all()


def test_errors_scale_with_the_pixels_that_were_matched_and_come_in_ground_units():
    one = found(seen(exact))
    twice = lambda s: Seen(2 * s.fixed_xy, 2 * s.off_px, s.steady)  # noqa: E731
    two = error_map(
        2 * PLACES,
        twice(seen(exact)),
        twice(seen(exact)),
        px=2.0,
        bend_px=0.0,
        ground_per_px=10.0,
        ground_unit="m",
    )
    assert two is not None and two.ce90_ground is not None and one.ce90_ground is None
    np.testing.assert_allclose(two.ce90_px, 2 * one.ce90_px, rtol=1e-6)
    np.testing.assert_allclose(two.ce90_ground, 20 * one.ce90_px, rtol=1e-6)


def test_without_any_tie_point_all_is_extrapolated_and_finite():
    nothing = Seen(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, bool))
    made = found(nothing, nothing)
    assert made.extrapolated.all() and np.isfinite(made.ce90_px).all()
    unknown = Seen(LATTICE, np.full(LATTICE.shape, np.nan), np.ones(len(LATTICE), bool))
    assert np.isfinite(found(unknown, unknown).ce90_px).all()


def test_the_error_of_the_whole_map_holds_nine_tenths_of_its_cells():
    made = found(seen(bent))
    whole = global_error(made)
    assert made.share[made.ce90_px <= whole].sum() >= 0.9
    assert whole == pytest.approx(
        calibrated()["widened"] * np.quantile(made.ce90_px, 0.9, method="inverted_cdf"), rel=0.05
    )


def test_the_fit_of_places_is_no_matchers_calibration():
    assert "error-map" not in calibrated_matchers()
    assert calibrated()["widened"] >= 1 and calibrated()["certificate"]["n"] > 50
