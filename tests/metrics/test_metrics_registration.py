"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math

import cv2
import numpy as np
import pytest

from xmatch import metrics
from xmatch.geometry import homography, similarity, translation

IDENTITY = translation(0, 0)
INF = float("inf")
TILTED = np.array([[1.05, 0.1, 3.0], [-0.08, 0.95, -2.0], [1e-4, -2e-4, 1.0]])


def test_corner_error_of_a_shift_is_its_length():
    assert metrics.corner_error_px(translation(3, 4), IDENTITY, 60, 40) == pytest.approx(5)


def test_corner_error_counts_outer_corners():
    """Doubling a 30 x 40 image moves its corners by 0, 30, 50 and 40 px; centre-counted corners would move by less."""
    assert metrics.corner_error_px(similarity(scale=2), IDENTITY, 30, 40) == pytest.approx((0 + 30 + 50 + 40) / 4)


def test_no_estimate_and_a_corner_beyond_the_horizon_are_infinitely_wrong():
    beyond = homography(np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]]))
    assert metrics.corner_error_px(None, IDENTITY, 100, 100) == INF
    assert metrics.corner_error_px(beyond, IDENTITY, 100, 100) == INF


def test_grid_error_looks_only_where_the_images_overlap():
    """Fixed shows the left half of moving; the estimate is 2 px off there and undefined on the right."""

    def estimate(xy):
        return np.where(xy[:, :1] < 50, xy + [0, 2], np.nan)

    assert metrics.grid_error_px(estimate, IDENTITY, (100, 50), (50, 50)) == pytest.approx(2)
    assert metrics.grid_error_px(estimate, IDENTITY, (100, 50), (60, 50)) == INF
    assert metrics.grid_error_px(None, IDENTITY, (100, 50), (50, 50)) == INF


def test_grid_error_without_overlap_is_unknown():
    assert math.isnan(metrics.grid_error_px(IDENTITY, translation(500, 0), (100, 50), (100, 50)))


def test_corner_error_agrees_with_opencv():
    outer = np.array([[0, 0], [60, 0], [60, 40], [0, 40.0]])
    moved = cv2.perspectiveTransform(outer[None], TILTED)[0]
    expected = np.mean([math.dist(*ends) for ends in zip(moved, outer, strict=True)])
    assert metrics.corner_error_px(homography(TILTED), IDENTITY, 60, 40) == pytest.approx(expected, abs=1e-6)


def test_grid_error_agrees_with_opencv():
    """64 x 64 px with the default 32 nodes: centres of every second pixel, all inside fixed."""
    lattice = np.array([[x + 0.5, y + 0.5] for y in range(0, 64, 2) for x in range(0, 64, 2)])
    moved = cv2.perspectiveTransform(lattice[None], TILTED)[0]
    expected = np.mean(np.hypot(*(moved - lattice).T))
    assert metrics.grid_error_px(homography(TILTED), IDENTITY, (64, 64), (64, 64)) == pytest.approx(expected, abs=1e-6)


def test_landmark_errors_of_three_points():
    """A shift by (3, 4) of landmarks that did not move, moved by it, and moved by (3, 5)."""
    moving = np.array([[10.0, 10], [20, 5], [30, 30]])
    errors = metrics.landmark_errors_px(translation(3, 4), moving, moving + [[0, 0], [3, 4], [3, 5]])
    assert errors == pytest.approx([5, 0, 1], abs=1e-9)


def test_landmarks_of_a_failed_registration_are_infinitely_off():
    moving = np.ones((2, 2))
    assert metrics.landmark_errors_px(None, moving, moving).tolist() == [INF, INF]
    assert metrics.target_errors(np.array([INF, INF]), (30, 40)).median_relative == INF


def test_target_errors_are_summed_up_in_px_and_in_diagonals():
    """Fixed has the diagonal 50."""
    found = metrics.target_errors(np.array([5.0, 0.0, 1.0, 2.0]), (30, 40))
    assert found == pytest.approx((2.0, 1.5, 5.0, 0.04, 0.03, 0.1, 4), abs=1e-9)
    assert math.isnan(metrics.target_errors(np.zeros(0), (30, 40)).mean_relative)


def test_robustness_counts_landmarks_that_came_closer():
    assert metrics.landmark_robustness(np.array([1, 2, 3, INF]), np.array([2.0, 2, 4, 9])) == 50
    assert math.isnan(metrics.landmark_robustness(np.zeros(0), np.zeros(0)))
