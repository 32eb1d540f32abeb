"""Tie points: how far a pose is off here and there, matched both ways."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from made_views import inverted, pose, scene, seen_from, view

from xmatch.registration.tie_points import tie_points
from xmatch.registration.windows import NARROW, WIDE, Windows

SIDE = 160


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE, seed=9)


def error_px(ties, truth: np.ndarray) -> np.ndarray:
    """(N,) distance of each tie's moving position, mapped by the truth, from its fixed one."""
    return np.linalg.norm(ties.moving_xy @ truth[:2, :2].T + truth[:2, 2] - ties.fixed_xy, axis=1)


@pytest.mark.parametrize("look", [lambda image: image, inverted], ids=["alike", "inverted"])
@pytest.mark.parametrize("turn_deg, scale, mirror", [(0, 1.0, False), (50, 1.25, False), (100, 0.8, True)])
def test_ties_find_what_the_pose_is_off_by(image, look, turn_deg, scale, mirror):
    truth = pose(SIDE, SIDE, turn_deg=turn_deg, scale=scale, mirror=mirror)
    moving = seen_from(look(image), truth)
    off = pose(SIDE, SIDE, shift=(3.3, -2.6)) @ truth
    ties, there_and_back = tie_points(view(image), moving, off)
    assert len(ties) == len(there_and_back) > 20
    assert np.median(error_px(ties, truth)) < 0.35
    assert np.median(there_and_back) < 0.35


def test_a_perfect_pose_is_left_alone(image):
    ties, there_and_back = tie_points(view(image), view(image), np.eye(3))
    assert np.abs(ties.fixed_xy - ties.moving_xy).max() < 0.02
    assert there_and_back.max() < 0.02 and ties.certainty.min() > 0.5


def test_ties_follow_a_bend_that_no_single_pose_can(image):
    """Moving is stretched where its left and right meet: ties on either side say so."""
    x = np.arange(SIDE, dtype=np.float32)
    bend = 3 * np.sin(x / SIDE * 2 * np.pi).astype(np.float32)
    map_x, map_y = np.meshgrid(x, x)
    moving = view(cv2.remap(image, map_x + bend[None, :], map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))
    ties, _ = tie_points(view(image), moving, np.eye(3))
    # Moving pixel x shows what fixed has at x + bend(x).
    expected = np.interp(ties.moving_xy[:, 0], x + 0.5, bend)
    assert np.abs(ties.fixed_xy[:, 0] - ties.moving_xy[:, 0] - expected).mean() < 0.5
    assert np.ptp(ties.fixed_xy[:, 0] - ties.moving_xy[:, 0]) > 4


def test_fixed_positions_are_pixel_centres_of_a_lattice_inside_the_view(image):
    ties, _ = tie_points(view(image), view(image), np.eye(3), Windows(32, 4, 5))
    assert len(ties) == 25
    assert (ties.fixed_xy % 1 == 0.5).all()
    assert (ties.fixed_xy > 16).all() and (ties.fixed_xy < SIDE - 16).all()


def test_windows_lie_where_both_views_are_valid(image):
    left, top = np.zeros((2, SIDE, SIDE), bool)
    left[:, :110], top[:110] = True, True
    ties, _ = tie_points(view(image, left), view(image, top), np.eye(3), Windows(32, 8, 12))
    assert len(ties) > 10
    # At most 30 % of a window may be missing.
    assert (ties.fixed_xy < 110 + 0.3 * 32 - 16 + 1).all()


def test_ties_on_chance_are_less_sure_and_come_back_less_often(image):
    right = tie_points(view(image), view(image), pose(SIDE, SIDE, shift=(2, 2)))
    chance = tie_points(view(image), view(scene(SIDE, SIDE, seed=10)), np.eye(3))
    assert chance[0].certainty.mean() < 0.6 * right[0].certainty.mean()
    assert (chance[1] < 1.5).mean() < 0.8 < (right[1] < 1.5).mean()


def test_wide_windows_find_each_other_in_noise_that_narrow_ones_drown_in(image):
    wide_image = scene(2 * SIDE, 2 * SIDE, seed=9)
    noise = 3 * wide_image.std() * np.random.default_rng(1).normal(size=wide_image.shape).astype(np.float32)
    fixed, moving = view(wide_image), view(cv2.GaussianBlur(wide_image + noise, (0, 0), 1.0))
    within = []
    for windows in (NARROW, WIDE):
        ties, _ = tie_points(fixed, moving, pose(2 * SIDE, 2 * SIDE, shift=(3, -2)), windows)
        within.append((error_px(ties, np.eye(3)) < 2).mean())
    assert within[1] > within[0] + 0.1


@pytest.mark.parametrize("case", ["small", "apart", "invalid"])
def test_where_nothing_can_be_compared_there_are_no_ties(image, case):
    fixed, moving, matrix = {
        "small": (view(image[:50, :50]), view(image[:50, :50]), np.eye(3)),
        "apart": (view(image), view(image), pose(SIDE, SIDE, shift=(500, 0))),
        "invalid": (view(image), view(image, np.zeros((SIDE, SIDE), bool)), np.eye(3)),
    }[case]
    ties, there_and_back = tie_points(fixed, moving, matrix)
    assert len(ties) == len(there_and_back) == 0


def test_flat_windows_are_not_sure(image):
    flat = view(np.full((SIDE, SIDE), 0.5, np.float32))
    ties, there_and_back = tie_points(view(image), flat, np.eye(3))
    assert np.isfinite(ties.moving_xy).all() and np.isfinite(there_and_back).all()
    assert ties.certainty.max() < 0.05
