"""Points of a scene with depth, seen by two cameras."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.correspondences import Correspondences
from xmatch.estimate.epipolar import epipolar_geometry

SIZES = (640, 480), (500, 400)
FOCAL = 700.0, 450.0


def projected(points: np.ndarray, turn: np.ndarray, shift: np.ndarray, focal: float, size: tuple[int, int]):
    seen = points @ turn.T + shift
    return focal * seen[:, :2] / seen[:, 2:] + np.array(size) / 2


def two_views(right: int, wrong: int, noise_px: float = 0.3) -> Correspondences:
    """So many points of a room that both cameras see, then so many pairs of unrelated places."""
    rng = np.random.default_rng(5)
    points = np.column_stack([rng.uniform(-1, 1, (right, 2)), rng.uniform(3, 6, right)])
    angle = np.radians(6.0)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    fixed = projected(points, np.eye(3), np.zeros(3), FOCAL[0], SIZES[0])
    moving = projected(points, turn, np.array([0.8, 0.1, 0.2]), FOCAL[1], SIZES[1])
    both = [xy + rng.normal(0, noise_px, xy.shape) for xy in (fixed, moving)]
    fixed, moving = (np.vstack([xy, rng.uniform(0, size, (wrong, 2))]) for xy, size in zip(both, SIZES, strict=True))
    return Correspondences(fixed, moving, np.ones(len(fixed)))


@pytest.mark.parametrize("focal", [None, FOCAL])
def test_points_of_one_scene_agree_and_others_do_not(focal):
    found = epipolar_geometry(two_views(80, 60), *SIZES, tolerance_px=1.5, seed=0, focal_px=focal)
    assert found.inliers[:80].mean() > 0.85 and found.inliers[80:].mean() < 0.1
    assert found.log10_false_alarms < -30
    exact = two_views(40, 0, noise_px=0.0)
    one = np.ones((len(exact), 1))
    lines = np.hstack([exact.moving_xy, one]) @ found.matrix.T
    across = (np.hstack([exact.fixed_xy, one]) * lines).sum(axis=1)
    assert np.median(np.abs(across) / np.hypot(*lines[:, :2].T)) < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_unrelated_points_show_such_a_geometry_by_chance(seed):
    rng = np.random.default_rng(seed)
    fixed, moving = (rng.uniform(0, size, (150, 2)) for size in SIZES)
    found = epipolar_geometry(Correspondences(fixed, moving, np.ones(150)), *SIZES, tolerance_px=1.5, seed=0)
    assert found is None or found.log10_false_alarms > -3


def test_the_same_seed_finds_the_same():
    one, other = (epipolar_geometry(two_views(30, 90), *SIZES, tolerance_px=1.5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, other.matrix)


def test_seven_points_determine_nothing_that_could_be_wrong():
    assert epipolar_geometry(two_views(7, 0), *SIZES, tolerance_px=1.5, seed=0) is None
