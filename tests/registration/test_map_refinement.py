"""Maps refined from a pose: perspective and bends are followed, and nothing is made of what is not there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from made_views import inverted, pose, scene, view

from xmatch.coords import corners, pixel_centres, to_centre_matrix, to_centre_xy
from xmatch.geometry import Linear
from xmatch.geometry.outlines import nodes_over
from xmatch.raster import View
from xmatch.registration import map_refinement
from xmatch.registration.bend_refinement import AGAIN, BendRefiner
from xmatch.registration.map_refinement import MapRefiner
from xmatch.registration.tie_points import tie_points

SIDE = 200
AS_IT_IS = Linear(np.eye(3), "affine")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE, seed=8)


def in_perspective(image: np.ndarray) -> tuple[View, Linear]:
    """Another sensor's view whose corners lie up to a sixth of the side elsewhere, and its map onto the image."""
    moved = corners(SIDE, SIDE) + [[30, 18], [-6, 8], [-20, -30], [10, -4]]
    onto = cv2.getPerspectiveTransform(corners(SIDE, SIDE).astype(np.float32), moved.astype(np.float32)).astype(float)
    centre = to_centre_matrix(onto)
    seen = cv2.warpPerspective(inverted(image), centre, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    valid = cv2.warpPerspective(np.ones_like(image), centre, (SIDE, SIDE)) > 0.99
    return view(np.clip(seen, 0, 1), valid), Linear(np.linalg.inv(onto))


def bent(image: np.ndarray, bend_px: float) -> tuple[View, np.ndarray]:
    """Another sensor's view along sines, and (h, w, 2) where on the image each of its px lies."""
    centres = pixel_centres(SIDE, SIDE)
    true = centres + bend_px * np.sin(2 * np.pi * centres[..., ::-1] / SIDE + (0.4, 1.3))
    at = to_centre_xy(true).astype(np.float32)
    seen = cv2.remap(inverted(image), at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return view(np.clip(seen, 0, 1)), true


def off_px(to_fixed, true_xy: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return np.linalg.norm(to_fixed(xy) - true_xy, axis=1)


def test_perspective_is_followed_to_a_fraction_of_a_pixel(image):
    moving, truth = in_perspective(image)
    xy = nodes_over(SIDE, SIDE, 9)
    xy = xy[moving.valid[tuple(np.clip(xy.astype(int), 0, SIDE - 1).T[::-1])]]
    start = Linear(pose(SIDE, SIDE, turn_deg=2, scale=1.1), "affine")
    assert off_px(start, truth(xy), xy).max() > 10
    found = MapRefiner(view(image), moving, seed=0)(start.matrix)
    assert found.kind == "homography" and off_px(found, truth(xy), xy).max() < 0.7


def test_a_pose_around_which_no_windows_agree_is_not_refined(image, monkeypatch):
    def climb(*args):
        raise AssertionError("steps are taken")

    monkeypatch.setattr(map_refinement, "climb", climb)
    stranger = MapRefiner(view(image), view(inverted(scene(SIDE, SIDE, seed=9))), seed=0)
    assert (stranger(np.eye(3)).matrix == np.eye(3)).all()
    moving, _ = in_perspective(image)
    with pytest.raises(AssertionError, match="steps"):
        MapRefiner(view(image), moving, seed=0)(pose(SIDE, SIDE, turn_deg=2, scale=1.1))


def test_tie_points_around_a_homography_lie_on_the_truth(image):
    moving, truth = in_perspective(image)
    near = Linear(pose(SIDE, SIDE, shift=(2.5, -1.5)), "affine").after(truth)
    ties, there_and_back = tie_points(view(image), moving, near)
    steady = there_and_back < 1.5
    assert steady.sum() > 20
    assert np.median(off_px(truth, ties.fixed_xy, ties.moving_xy)[steady]) < 0.5


def test_a_bend_of_a_twentieth_of_the_side_is_followed(image):
    moving, true = bent(image, 0.05 * SIDE)
    spline = BendRefiner(view(image), moving)(AS_IT_IS)
    xy = pixel_centres(SIDE, SIDE)[20:-20:10, 20:-20:10].reshape(-1, 2)
    expected = true[20:-20:10, 20:-20:10].reshape(-1, 2)
    assert np.median(off_px(AS_IT_IS, expected, xy)) > 8
    assert np.median(off_px(spline, expected, xy)) < 1.0


def test_each_level_once_more_follows_a_stronger_bend_where_it_was_held(image):
    moving, true = bent(image, 0.07 * SIDE)
    refiner = BendRefiner(view(image), moving)
    xy = pixel_centres(SIDE, SIDE)[20:-20:10, 20:-20:10].reshape(-1, 2)
    expected = true[20:-20:10, 20:-20:10].reshape(-1, 2)
    once, twice = (off_px(refiner(AS_IT_IS, times), expected, xy) for times in (1, AGAIN))
    assert once.max() > 3 and twice.max() < 1.5
    assert np.quantile(twice, 0.9) < 0.6 * np.quantile(once, 0.9)


def test_nothing_bends_between_images_that_do_not(image):
    refiner = BendRefiner(view(image), view(inverted(image)))
    xy = nodes_over(SIDE, SIDE, 9)
    assert off_px(refiner(AS_IT_IS), xy, xy).max() < 0.3
    assert refiner(AS_IT_IS, least_px=0.8) is None


def test_what_bends_by_more_than_is_asked_for_is_followed(image):
    moving, _ = bent(image, 0.05 * SIDE)
    assert BendRefiner(view(image), moving)(AS_IT_IS, least_px=0.8) is not None


def test_no_pose_is_refined_twice(image):
    refiner = MapRefiner(view(image), view(inverted(image)), seed=0)
    found = refiner(np.eye(3))
    assert refiner(np.eye(3)) is found
    assert refiner(np.eye(3), affine_only=True) is not found


def test_a_pose_that_holds_stays(image):
    found = MapRefiner(view(image), view(inverted(image)), seed=0)(np.eye(3))
    xy = nodes_over(SIDE, SIDE, 5)
    assert off_px(found, xy, xy).max() < 0.3
