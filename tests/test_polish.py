"""The polish: sub-pixel by mutual information, never worse, the same each time."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from xmatch.polish import FARTHEST, Polisher

sys.path.insert(0, str(Path(__file__).parent / "matchers"))

from made_views import corner_error_px, folded, inverted, pose, scene, seen_from, view

SIDE = 144


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE, seed=8)


def off(truth: np.ndarray, *, turn_deg=1.5, scale=1.01, shift=(3.0, -2.0)) -> np.ndarray:
    """`truth`, displaced."""
    return pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=shift) @ truth


@pytest.mark.parametrize("look", [inverted, folded])
@pytest.mark.parametrize("turn_deg, scale, mirror", [(10, 1.0, False), (-100, 1.25, False), (60, 0.8, True)])
def test_three_pixels_and_a_turn_are_made_good_in_unlike_views(image, look, turn_deg, scale, mirror):
    truth = pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=(2, 3), mirror=mirror)
    moving = seen_from(look(image), truth)
    polished, metric = Polisher(view(image), moving)(off(truth))
    assert corner_error_px(off(truth), truth, moving) > 3
    assert corner_error_px(polished, truth, moving) < 0.4
    assert metric < 0
    assert (np.linalg.det(polished[:2, :2]) < 0) == mirror


def test_a_large_view_is_polished_at_a_smaller_size_and_the_pose_is_for_the_large_one(image):
    large = cv2.resize(image, None, fx=3, fy=2, interpolation=cv2.INTER_CUBIC)
    height, width = large.shape
    truth = pose(width, height, turn_deg=4, shift=(5, -3))
    moving = seen_from(folded(large), truth)
    start = pose(width, height, turn_deg=0.8, shift=(4, 3)) @ truth
    polished, _ = Polisher(view(large), moving, side_px=150)(start)
    assert corner_error_px(polished, truth, moving) < 0.8 < 3 < corner_error_px(start, truth, moving)


def test_the_same_seed_gives_the_same_pose(image):
    truth = pose(SIDE, SIDE, turn_deg=5)
    moving = seen_from(inverted(image), truth)
    (first, metric), (again, same_metric) = (Polisher(view(image), moving, seed=4)(off(truth)) for _ in range(2))
    assert np.array_equal(first, again) and metric == same_metric
    other, _ = Polisher(view(image), moving, seed=5)(off(truth))
    assert 0 < corner_error_px(first, other, moving) < 0.3


def test_a_bright_frame_outside_the_masks_does_not_matter(image):
    """The frame stands still in both views: it would pull towards the identity."""
    truth = pose(SIDE, SIDE, turn_deg=-1.5, shift=(3, 2))
    moving = seen_from(inverted(image), truth)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[18:-18, 18:-18] = True
    clean = [view(v.image, v.valid & inside) for v in (view(image), moving)]
    framed = [view(v.image, v.valid) for v in clean]
    for v in framed:
        v.image[~v.valid] = 50.0
    polished, _ = Polisher(*framed)(np.eye(3))
    assert np.array_equal(polished, Polisher(*clean)(np.eye(3))[0])
    assert corner_error_px(polished, truth, moving) < 0.8


def test_nothing_is_made_worse(image):
    """From the truth itself it stays within a tenth of a pixel; from chance it goes nowhere far."""
    moving = seen_from(inverted(image), np.eye(3))
    assert corner_error_px(Polisher(view(image), moving)(np.eye(3))[0], np.eye(3), moving) < 0.1
    unlike = view(scene(SIDE, SIDE, seed=99))
    moved = corner_error_px(Polisher(view(image), unlike)(np.eye(3))[0], np.eye(3), unlike)
    assert moved <= FARTHEST * SIDE


@pytest.mark.parametrize("case", ["apart", "nothing valid", "flat"])
def test_where_there_is_nothing_to_climb_the_start_comes_back(image, case):
    nothing, flat = view(image, np.zeros((SIDE, SIDE), bool)), view(np.full((SIDE, SIDE), 0.5, np.float32))
    start = pose(SIDE, SIDE, turn_deg=3, shift=(900, 0) if case == "apart" else (1, 1))
    moving = {"apart": view(image), "nothing valid": nothing, "flat": flat}[case]
    polished, metric = Polisher(view(image), moving)(start)
    assert np.array_equal(polished, start) and metric == pytest.approx(0, abs=1e-6)
