"""Where the search looks: turns across 180 degrees, scales to both ends, half turns, and enough of an overlap."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import corner_error_px, pose, scene, seen_from, view

from xmatch.coords import to_centre_matrix
from xmatch.matchers.base import SearchRange
from xmatch.matchers.search.descriptors import agreement, edge_descriptors, warped
from xmatch.matchers.search.fourier import MIN_OVERLAP, search
from xmatch.matchers.search.turns_and_scales import scales_within

SIDE = 112


def turned(angle_deg: float) -> np.ndarray:
    return pose(SIDE, SIDE, turn_deg=angle_deg)


@pytest.mark.parametrize(("centre_deg", "turn_deg", "is_in"), [(175, -175, True), (-170, 175, True), (175, 150, False)])
def test_turns_on_both_sides_of_180_degrees_are_neighbours(centre_deg, turn_deg, is_in):
    within = SearchRange(centre=turned(centre_deg), max_angle_deg=20)
    assert within.holds(turn_deg, 1.0) == is_in
    assert within.allows(turned(turn_deg), view(scene(SIDE, SIDE)), view(scene(SIDE, SIDE))) == is_in


def test_scales_reach_from_the_smallest_to_the_largest_with_the_middle_among_them():
    within = SearchRange(centre=np.diag([3.0, 3.0, 1.0]), min_scale=0.5, max_scale=4.0)
    scales = scales_within(within, 1.2)
    np.testing.assert_allclose((scales.min(), scales.max()), (1.5, 12.0))
    assert np.isclose(scales, 3.0).any()
    assert (np.diff(scales) > 0).all() and (scales[1:] / scales[:-1]).max() < 1.2 + 1e-6


@pytest.mark.parametrize("turn_deg", [0, 180])
def test_a_half_turn_is_found_as_exactly_as_none(turn_deg):
    image, truth = scene(SIDE, SIDE), turned(turn_deg)
    moving = seen_from(image, truth)
    best = search(view(image), moving, SearchRange(), side_px=SIDE, angle_step_deg=90.0, scale_step=2.0, keep=1)[0]
    assert corner_error_px(best.matrix, truth, moving) < 1.6  # half a cell of three px each way


def test_poses_that_overlap_by_too_little_are_none():
    """Moving shows what lies to the right of fixed, but for a strip: nothing is found that lies only on the strip."""
    image = scene(3 * SIDE, SIDE)
    fixed, moving = view(image[:, :SIDE]), view(image[:, SIDE - 20 : 2 * SIDE - 20])
    within = SearchRange(max_angle_deg=0, min_scale=1, max_scale=1)
    found = search(fixed, moving, within, side_px=SIDE, angle_step_deg=6.0, scale_step=1.15, keep=8)
    overlaps = [max(0.0, SIDE - abs(p.matrix[0, 2])) * max(0.0, SIDE - abs(p.matrix[1, 2])) / SIDE**2 for p in found]
    assert found and min(overlaps) > MIN_OVERLAP - 0.1


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn_deg", [0, 35, 110])
def test_fields_that_are_turned_are_the_fields_of_what_is_turned(turn_deg, mirror):
    image, truth = scene(SIDE, SIDE), pose(SIDE, SIDE, turn_deg=turn_deg, mirror=mirror)
    moving = seen_from(image, truth)
    laid = warped(edge_descriptors(moving.image, moving.valid), to_centre_matrix(truth)[:2], (SIDE, SIDE))
    product, own, other = agreement(edge_descriptors(image, np.ones_like(image, bool)), laid)
    for order in (slice(0, 2), slice(2, 4)):
        assert product[order].sum() / np.sqrt(own[order].sum() * other[order].sum()) > 0.85
