"""Refinement: from a few pixels and degrees off to the pose itself."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import corner_error_px, folded, inverted, pose, scene, seen_from, view

from xmatch.matchers.base import Proposal
from xmatch.matchers.search.gauss_newton import FIELDS, PoseRefiner, motion

SIDE = 128


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE, seed=6)


def start(truth: np.ndarray, *, turn_deg=2.0, scale=1.02, shift=(3.0, -2.0)) -> Proposal:
    """`truth`, displaced."""
    return Proposal(pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=shift) @ truth, 0.0)


@pytest.mark.parametrize("look", [lambda image: image, inverted], ids=["alike", "inverted"])
@pytest.mark.parametrize("turn_deg, scale, mirror", [(0, 1.0, False), (75, 1.3, False), (-160, 0.75, True)])
def test_three_pixels_and_two_degrees_are_made_good(image, look, turn_deg, scale, mirror):
    truth = pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=(4, 1), mirror=mirror)
    moving = seen_from(look(image), truth)
    found = PoseRefiner(view(image), moving)(start(truth))
    assert corner_error_px(start(truth).matrix, truth, moving) > 3
    assert corner_error_px(found.matrix, truth, moving) < 0.6
    assert found.score > PoseRefiner(view(image), moving)(start(truth, shift=(30, 25))).score


@pytest.mark.parametrize("sign", [-1, 1])
def test_it_converges_from_either_side(image, sign):
    truth = pose(SIDE, SIDE, turn_deg=20)
    moving = seen_from(image, truth)
    begun = start(truth, turn_deg=2 * sign, scale=1.02**sign, shift=(3 * sign, -3 * sign))
    assert corner_error_px(PoseRefiner(view(image), moving)(begun).matrix, truth, moving) < 0.3


def test_the_truth_stays_put(image):
    moving = view(folded(image))
    found = PoseRefiner(view(image), view(image))(Proposal(np.eye(3), 0.0))
    assert corner_error_px(found.matrix, np.eye(3), moving) < 0.02


def test_views_that_do_not_overlap_come_back_finite_and_without_merit(image):
    away = Proposal(pose(SIDE, SIDE, shift=(400, 0)), 0.0)
    found = PoseRefiner(view(image), view(image))(away)
    assert np.isfinite(found.matrix).all() and found.score <= 0


def test_what_lies_outside_the_masks_does_not_pull(image):
    """A frame of stripes that stands still in both views would hold them where they were begun."""
    truth = pose(SIDE, SIDE, turn_deg=-2, shift=(3, 2))
    moving = seen_from(image, truth)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[20:-20, 20:-20] = True
    stripes = np.indices((SIDE, SIDE)).sum(axis=0) % 6 < 3
    pair = [view(v.image, v.valid & inside) for v in (view(image), moving)]
    for v in pair:
        v.image[~inside] = stripes[~inside]
    found = PoseRefiner(*pair)(Proposal(np.eye(3), 0.0))
    assert corner_error_px(found.matrix, truth, moving) < 0.8


def test_a_motion_grows_turns_and_shifts_as_its_fields_say():
    x, y = xy = np.array([[-30.0, 20.0], [10.0, 45.0], [40.0, -25.0]]).T
    none, all_alike = np.zeros(3), np.ones(3)
    for step, expected in zip(np.eye(4), [(x, y), (-y, x), (all_alike, none), (none, all_alike)], strict=True):
        moved = motion(0.01 * step) @ np.vstack([xy, all_alike])
        np.testing.assert_allclose(moved[:2] - xy, 0.01 * np.stack(expected), atol=1e-12)
        np.testing.assert_array_equal(np.tensordot(step, FIELDS, 1) @ np.vstack([all_alike, xy]), np.stack(expected))
