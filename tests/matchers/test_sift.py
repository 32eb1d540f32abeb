"""SIFT: exact within one sensor, at any turn and scale, and honest about the range that it was given."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import corner_error_px, pose, scene, seen_from, view

from xmatch.matchers.base import SearchRange
from xmatch.matchers.sift import Sift

SIDE = 128


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE, seed=4)


def match(image, moving, **within):
    return Sift()(view(image), moving, SearchRange(**within), seed=0, threads=1)


@pytest.mark.parametrize("turn_deg, scale, shift", [(70, 1.3, (6, -4)), (-120, 0.7, (0, 9)), (3, 1.0, (14.5, 8.25))])
def test_a_turned_and_scaled_view_is_found(image, turn_deg, scale, shift):
    truth = pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, shift=shift)
    moving = seen_from(image, truth)
    assert corner_error_px(match(image, moving).proposals[0].matrix, truth, moving) < 0.3


def test_positions_are_corner_counted(image):
    """Half a turn is exact on pixels: whoever counts from centres, or a quarter pixel off, is off by twice that."""
    moving = view(image[::-1, ::-1])
    found = match(image, moving).correspondences
    assert len(found) > 50
    assert np.median(np.abs(found.fixed_xy - (SIDE - found.moving_xy))) < 0.02


def test_surer_pairs_are_more_often_right(image):
    rng = np.random.default_rng(0)
    noisy = np.clip(image + 0.08 * rng.standard_normal(image.shape), 0, 1)
    truth = pose(SIDE, SIDE, turn_deg=30, shift=(3, 2))
    found = match(image, seen_from(noisy, truth)).correspondences
    landed = found.moving_xy @ truth[:2, :2].T + truth[:2, 2]
    right = np.linalg.norm(landed - found.fixed_xy, axis=1) < 2
    assert found.certainty[right].mean() > 1.5 * found.certainty[~right].mean()


def test_a_faint_image_is_matched_too(image):
    truth = pose(SIDE, SIDE, turn_deg=20)
    moving = seen_from(0.5 + 0.06 * (image - 0.5), truth)
    assert corner_error_px(match(image, moving).proposals[0].matrix, truth, moving) < 1


def test_a_mirrored_view_is_found_when_asked_for_and_only_then(image):
    truth = pose(SIDE, SIDE, turn_deg=40, shift=(5, 0), mirror=True)
    moving = seen_from(image, truth)
    assert corner_error_px(match(image, moving, mirror=True).proposals[0].matrix, truth, moving) < 0.3
    assert not match(image, moving).proposals


def test_asking_for_mirrors_does_not_lose_the_plain_view(image):
    truth = pose(SIDE, SIDE, turn_deg=40, shift=(5, 0))
    moving = seen_from(image, truth)
    assert corner_error_px(match(image, moving, mirror=True).proposals[0].matrix, truth, moving) < 0.3


@pytest.mark.parametrize("mirror", [False, True])
def test_the_range_of_turns_is_kept_to(image, mirror):
    truth = pose(SIDE, SIDE, turn_deg=50, mirror=mirror)
    moving = seen_from(image, truth)
    assert not match(image, moving, max_angle_deg=15, mirror=mirror).proposals
    centre = pose(SIDE, SIDE, turn_deg=45)
    found = match(image, moving, centre=centre, max_angle_deg=15, mirror=mirror).proposals[0].matrix
    assert corner_error_px(found, truth, moving) < 0.3


def test_the_range_of_scales_is_kept_to(image):
    moving = seen_from(image, pose(SIDE, SIDE, scale=1.4))
    assert not match(image, moving, min_scale=0.9, max_scale=1.1).proposals
    assert match(image, moving, centre=np.diag([1.4, 1.4, 1]), min_scale=0.9, max_scale=1.1).proposals


def test_two_agreeing_motions_come_with_the_larger_one_first(image):
    """Moving shows the left two thirds where they are, the right third 12 px lower."""
    moving = image.copy()
    moving[12:, 86:] = image[:-12, 86:]
    shifts = [h.matrix[1, 2] for h in match(image, view(moving)).proposals]
    assert np.allclose(shifts[:2], [0, -12], atol=0.5)
