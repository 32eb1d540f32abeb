"""How a camera moved, from points of two views."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xmatch.estimate.relative_pose import RelativeMotion, relative_motion, sampson, spread_deg

TRUE = RelativeMotion(Rotation.from_rotvec([0.02, 0.15, -0.03]).as_matrix(), np.array([0.8, 0.0, 0.6]))
TOLERANCE = 2e-3


def two_views(right: int, wrong: int, noise: float = 5e-4) -> tuple[np.ndarray, np.ndarray]:
    """So many points of a room as two cameras see them, then so many unrelated ones."""
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-1.5, 1.5, (right, 2)), rng.uniform(3, 6, right)])
    there = points @ TRUE.rotation.T + TRUE.translation
    seen = [p[:, :2] / p[:, 2:] + rng.normal(0, noise, (right, 2)) for p in (points, there)]
    fixed, moving = (np.vstack([xy, rng.uniform(-0.4, 0.4, (wrong, 2))]) for xy in seen)
    return fixed, moving


def test_exact_points_lie_at_no_distance_and_others_do():
    fixed, moving = two_views(40, 0, noise=0.0)
    assert np.abs(sampson(TRUE, fixed, moving)).max() < 1e-12
    assert np.median(np.abs(sampson(TRUE, fixed, moving + [0.0, 0.05]))) > 0.01


def test_the_motion_is_found_among_unrelated_points_and_halves_agree():
    fixed, moving = two_views(150, 100)
    found = relative_motion(fixed, moving, TOLERANCE)
    assert found.angle_deg(TRUE) < 1.0 and np.linalg.norm(found.translation) == pytest.approx(1)
    assert spread_deg(found, fixed, moving, TOLERANCE) < 5


def test_halves_of_unrelated_points_show_other_motions():
    fixed, moving = two_views(0, 120)
    found = relative_motion(fixed, moving, TOLERANCE)
    assert spread_deg(found, fixed, moving, TOLERANCE) > 15


def test_too_few_points_show_none():
    assert relative_motion(*two_views(7, 0), TOLERANCE) is None


def test_the_angle_is_the_larger_of_both_and_knows_forth_from_back():
    turned = RelativeMotion(Rotation.from_rotvec([0, 0, np.radians(20)]).as_matrix() @ TRUE.rotation, TRUE.translation)
    back = RelativeMotion(TRUE.rotation, -TRUE.translation)
    assert TRUE.angle_deg(turned) == pytest.approx(20) and TRUE.angle_deg(back) == pytest.approx(180)
