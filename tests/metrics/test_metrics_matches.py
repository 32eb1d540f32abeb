"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import cv2
import numpy as np
import pytest

from xmatch import metrics
from xmatch.geometry import homography, translation

TILTED = np.array([[1.05, 0.1, 3.0], [-0.08, 0.95, -2.0], [1e-4, -2e-4, 1.0]])


def test_matching_error_is_measured_in_fixed():
    """Truth adds (10, 0): matches that follow it, that miss by (3, 4), and that stay where they were."""
    moving = np.array([[1.0, 1], [2, 2], [3, 3]])
    fixed = moving + [[10, 0], [13, 4], [0, 0]]
    assert metrics.matching_errors_px(fixed, moving, translation(10, 0)) == pytest.approx([0, 5, 10])


def test_matching_errors_agree_with_opencv():
    rng = np.random.default_rng(0)
    moving, fixed = rng.uniform(0, 50, (2, 20, 2))
    mapped = cv2.perspectiveTransform(moving[None], TILTED)[0]
    expected = [cv2.norm(a, b) for a, b in zip(mapped, fixed, strict=True)]
    assert metrics.matching_errors_px(fixed, moving, homography(TILTED)) == pytest.approx(expected, abs=1e-6)


def test_mean_matching_accuracy_weighs_pairs_equally():
    """At 1 px: half of the first pair's two matches, all of the second's one, none of the pair without matches."""
    accuracy = metrics.mean_matching_accuracy([np.array([1.0, 9.5]), np.array([0.2]), np.zeros(0)])
    assert accuracy == pytest.approx([50] * 9 + [200 / 3])
    assert np.isnan(metrics.mean_matching_accuracy([])).all()


def test_mean_matching_accuracy_agrees_with_d2_net():
    """Its notebook sums mean(distance <= threshold) over pairs and divides by their number."""
    rng = np.random.default_rng(1)
    pairs = [rng.exponential(4, n) for n in (5, 17, 40)]
    expected = [100 * sum(np.count_nonzero(e <= t) / e.size for e in pairs) / 3 for t in range(1, 11)]
    assert metrics.mean_matching_accuracy(pairs) == pytest.approx(expected, abs=1e-6)


CAMERAS = np.array([[80.0, 0, 32], [0, 90, 24], [0, 0, 1]]), np.array([[70.0, 0, 30], [0, 75, 25], [0, 0, 1]])
TURN = cv2.Rodrigues(np.array([0.1, -0.2, 0.05]))[0]
STEP = np.array([1.0, 0.2, 0.3])


def seen_by_both(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) px in fixed and in moving of points in front of both cameras."""
    world = np.column_stack([rng.uniform(-2, 2, (n, 2)), rng.uniform(4, 8, n)])
    views = [world @ CAMERAS[0].T, (world @ TURN.T + STEP) @ CAMERAS[1].T]
    return tuple(view[:, :2] / view[:, 2:] for view in views)


def test_true_matches_lie_on_their_epipolar_lines():
    fixed, moving = seen_by_both(12, np.random.default_rng(2))
    errors = metrics.epipolar_errors(fixed, moving, *CAMERAS, TURN, STEP)
    assert errors == pytest.approx(np.zeros(12), abs=1e-12)
    assert metrics.epipolar_precision(errors) == 100


def test_epipolar_errors_agree_with_lines_drawn_by_opencv():
    """d(x', Ex)^2 + d(x, E'x')^2 with the lines of computeCorrespondEpilines, in normalised coordinates."""
    rng = np.random.default_rng(3)
    fixed, moving = seen_by_both(15, rng)
    moving = moving + rng.normal(0, 2, moving.shape)
    rays = [cv2.undistortPoints(xy[:, None], k, None) for xy, k in zip((fixed, moving), CAMERAS, strict=True)]
    essential = np.cross(STEP, TURN.T).T  # column i: STEP x column i of TURN
    expected = np.zeros(15)
    for here, there, which in ((rays[0], rays[1], 1), (rays[1], rays[0], 2)):
        lines = cv2.computeCorrespondEpilines(here, which, essential)[:, 0]
        distance = (lines[:, :2] * there[:, 0]).sum(axis=1) + lines[:, 2]
        expected += distance**2  # OpenCV's lines have unit normals
    assert expected.max() > 1e-4
    assert metrics.epipolar_errors(fixed, moving, *CAMERAS, TURN, STEP) == pytest.approx(expected, abs=1e-6, rel=1e-6)


def test_epipolar_error_does_not_depend_on_the_length_of_the_step():
    fixed, moving = seen_by_both(5, np.random.default_rng(4))
    near, far = (metrics.epipolar_errors(fixed + 1, moving, *CAMERAS, TURN, s * STEP) for s in (1, 50))
    assert near == pytest.approx(far) and near.min() > 0


def test_epipolar_precision_is_the_share_below_the_threshold():
    assert metrics.epipolar_precision(np.array([0, 4.9e-4, 5e-4, np.inf])) == 50
    assert metrics.epipolar_precision(np.array([0, 4.9e-4]), threshold=1e-4) == 50
    assert metrics.epipolar_precision(np.zeros(0)) == 0
