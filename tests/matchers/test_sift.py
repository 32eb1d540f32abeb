"""SIFT: exact within one sensor, at any turn and scale, and honest about the range that it was given."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_views import corner_error_px, pose, scene, seen_from, view

from xmatch.coords import corners, to_centre_matrix
from xmatch.geometry import Linear
from xmatch.matchers.base import SearchRange
from xmatch.matchers.sift import Sift
from xmatch.raster import View

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


def aside(image: np.ndarray) -> tuple[View, np.ndarray]:
    """The image seen from aside, with a hole and without its left edge, and (3, 3) from there onto it."""
    outline = corners(SIDE, SIDE)
    moved = outline + [[18, 10], [-6, 12], [-14, -20], [10, -4]]
    onto = cv2.getPerspectiveTransform(outline.astype(np.float32), moved.astype(np.float32)).astype(np.float64)
    back = to_centre_matrix(np.linalg.inv(onto))
    looked = cv2.warpPerspective(image, back, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    valid = cv2.warpPerspective(np.ones_like(image), back, (SIDE, SIDE)) > 0.99
    valid[50:80, 60:90] = valid[:, :20] = False
    return view(np.clip(looked, 0, 1), valid), onto


def test_a_view_from_aside_is_found_as_a_homography_and_nothing_is_seen_where_nothing_is_valid(image):
    moving, onto = aside(image)
    loud = replace(moving, image=np.where(moving.valid, moving.image, scene(SIDE, SIDE, seed=99)))
    found = match(image, loud)
    best = found.maps[0].to_fixed
    assert best.kind == "homography" and not found.is_faint
    assert np.linalg.norm(best(corners(SIDE, SIDE)) - Linear(onto)(corners(SIDE, SIDE)), axis=1).max() < 1
    column, row = found.correspondences.moving_xy.astype(int).T
    assert moving.valid[row, column].all()


def test_what_only_turns_is_a_proposal_and_no_freer_map(image):
    found = match(image, seen_from(image, pose(SIDE, SIDE, turn_deg=25, shift=(3, 1))))
    assert found.proposals and not found.maps and not found.is_faint


@pytest.mark.parametrize("gives_up_early", [False, True])
def test_unrelated_views_are_at_most_faintly_alike(image, gives_up_early):
    strangers = [Sift(gives_up_early)(view(image), view(scene(SIDE, SIDE, seed=s)), SearchRange()) for s in (20, 21)]
    assert all(found.is_faint for found in strangers)
    assert not gives_up_early or not any(len(found.correspondences) for found in strangers)
