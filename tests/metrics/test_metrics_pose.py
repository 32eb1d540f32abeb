"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math
import sys

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from xmatch import metrics
from xmatch.errors import UsageError

INTRINSICS = np.array([[80.0, 0, 32], [0, 90, 24], [0, 0, 1]]), np.array([[70.0, 0, 30], [0, 75, 25], [0, 0, 1]])
TURN = Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix()
STEP = np.array([1.0, 0.2, 0.3])


def two_views(n: int, wrong: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) px in fixed and in moving; the first `wrong` of them match nothing."""
    rng = np.random.default_rng(seed)
    world = np.column_stack([rng.uniform(-2, 2, (n, 2)), rng.uniform(4, 8, n)])
    views = [world @ INTRINSICS[0].T, (world @ TURN.T + STEP) @ INTRINSICS[1].T]
    fixed, moving = (view[:, :2] / view[:, 2:] for view in views)
    moving[:wrong] += rng.uniform(8, 20, (wrong, 2)) * [[1, -1]]
    return fixed, moving


@pytest.mark.parametrize("degrees", [0, 1e-5, 12, 90, 179, 180])
def test_rotation_error_is_the_angle_of_the_turn_between(degrees):
    turned = TURN @ Rotation.from_rotvec([0, degrees * 0.6, degrees * 0.8], degrees=True).as_matrix()
    assert metrics.rotation_error_deg(TURN, turned) == pytest.approx(degrees, abs=1e-6)


def test_rotation_error_agrees_with_scipy():
    for ours, other in zip(Rotation.random(9, rng=1), Rotation.random(9, rng=2), strict=True):
        expected = np.degrees((ours.inv() * other).magnitude())
        assert metrics.rotation_error_deg(ours.as_matrix(), other.as_matrix()) == pytest.approx(expected, abs=1e-6)


def test_translation_error_forgives_sign_and_length():
    assert metrics.translation_error_deg(np.array([-9.0, 0, 0]), np.array([1.0, 0, 0])) == pytest.approx(0)
    assert metrics.translation_error_deg(np.array([-1.0, 1, 0]), np.array([5.0, 0, 0])) == pytest.approx(45)
    assert metrics.translation_error_deg(np.array([0, 0, 1.0]), np.array([0, 1.0, 0])) == pytest.approx(90)


def test_translation_error_agrees_with_superglue():
    """Its angle_error_vec, then the smaller of the angle and the rest of 180 degrees."""
    rng = np.random.default_rng(1)
    for ours, truth in rng.normal(size=(9, 2, 3)):
        angle = np.rad2deg(np.arccos(np.dot(ours, truth) / (np.linalg.norm(ours) * np.linalg.norm(truth))))
        assert metrics.translation_error_deg(ours, truth) == pytest.approx(min(angle, 180 - angle), abs=1e-6)


def test_a_direction_that_does_not_exist_is_not_judged():
    assert math.isnan(metrics.translation_error_deg(STEP, np.zeros(3)))
    assert metrics.translation_error_deg(np.zeros(3), STEP) == 90
    pose = metrics.RelativePose(TURN, STEP, np.ones(5, bool))
    assert metrics.relative_pose_error_deg(pose, TURN, np.zeros(3)) == pytest.approx(0, abs=1e-6)


def test_the_error_of_a_pose_is_its_larger_angle():
    turned = Rotation.from_rotvec([0, 0, 10], degrees=True).as_matrix()
    pose = metrics.RelativePose(np.eye(3), np.array([1.0, 0, 0]), np.ones(5, bool))
    assert metrics.relative_pose_error_deg(pose, turned, np.array([1.0, 1, 0])) == pytest.approx(45)
    assert metrics.relative_pose_error_deg(pose, turned, np.array([1.0, 0, 0])) == pytest.approx(10)
    assert metrics.relative_pose_error_deg(None, turned, STEP) == np.inf
    broken = metrics.RelativePose(np.full((3, 3), np.nan), np.full(3, np.nan), np.ones(5, bool))
    assert metrics.relative_pose_error_deg(broken, turned, STEP) == np.inf


def test_pose_auc_is_the_area_at_5_10_and_20_degrees():
    """One pose off by 5 degrees: nothing below 5; a triangle of 5 and 5 more to 10; and 15 more to 20."""
    assert metrics.pose_auc([5.0]) == pytest.approx([0, 100 * (2.5 + 5) / 10, 100 * (2.5 + 15) / 20])
    # SuperGlue's own pose_auc gives 0 at 5 degrees as well: an error that equals the threshold is not below it.


def test_mean_focal_length_is_of_all_four():
    assert metrics.mean_focal_px(*INTRINSICS) == pytest.approx((80 + 90 + 70 + 75) / 4)


@pytest.mark.parametrize("wrong", [0, 15])
def test_the_pose_of_clean_matches_is_found_among_wrong_ones(wrong):
    fixed, moving = two_views(60, wrong)
    pose = metrics.estimate_relative_pose(fixed, moving, *INTRINSICS)
    assert metrics.relative_pose_error_deg(pose, TURN, STEP) < 1e-3
    # Recovered with its sign: the points lie in front of both cameras.
    assert pose.translation == pytest.approx(STEP / np.linalg.norm(STEP), abs=1e-5)
    assert pose.inliers[wrong:].all() and pose.inliers[:wrong].mean() < 0.4 if wrong else pose.inliers.all()


def test_the_pose_agrees_with_the_published_calls_of_opencv():
    """SuperGlue's estimate_pose, with pixel noise, so that RANSAC has something to choose."""
    fixed, moving = two_views(40, wrong=10, seed=3)
    moving = moving + np.random.default_rng(4).normal(0, 0.2, moving.shape)
    rays = [cv2.undistortPoints(xy[:, None], k, None)[:, 0] for xy, k in zip((fixed, moving), INTRINSICS, strict=True)]
    essential, agree = cv2.findEssentialMat(*rays, np.eye(3), threshold=0.5 / 78.75, prob=0.99999, method=cv2.RANSAC)
    assert essential.shape == (3, 3)
    _, rotation, translation, _ = cv2.recoverPose(essential, *rays, np.eye(3), 1e9, mask=agree)
    pose = metrics.estimate_relative_pose(fixed, moving, *INTRINSICS)
    assert pose.rotation == pytest.approx(rotation, abs=1e-6)
    assert pose.translation == pytest.approx(translation[:, 0], abs=1e-6)
    assert (pose.inliers == (agree.ravel() > 0)).all()


def test_the_threshold_is_in_pixels_of_the_mean_focal_length():
    """Twice the resolution with twice the threshold is the same problem."""
    fixed, moving = two_views(40, wrong=10, seed=5)
    moving = moving + np.random.default_rng(6).normal(0, 0.3, moving.shape)
    larger = [np.diag([2, 2, 1]) @ k for k in INTRINSICS]
    small = metrics.estimate_relative_pose(fixed, moving, *INTRINSICS, threshold_px=1)
    large = metrics.estimate_relative_pose(2 * fixed, 2 * moving, *larger, threshold_px=2)
    stated = metrics.estimate_relative_pose(fixed, moving, *INTRINSICS, threshold_px=2, focal_px=2 * 78.75)
    for other in (large, stated):
        assert other.rotation == pytest.approx(small.rotation, abs=1e-6)
        assert (other.inliers == small.inliers).all()


def test_five_matches_are_the_fewest():
    fixed, moving = two_views(5)
    assert metrics.estimate_relative_pose(fixed[:4], moving[:4], *INTRINSICS) is None
    assert metrics.estimate_relative_pose(fixed[:0], moving[:0], *INTRINSICS) is None
    assert metrics.estimate_relative_pose(fixed, moving, *INTRINSICS).inliers.any()


def test_poselib_finds_the_same_pose():
    pytest.importorskip("poselib")
    fixed, moving = two_views(60, wrong=15)
    pose = metrics.estimate_relative_pose(fixed, moving, *INTRINSICS, estimator="poselib")
    assert metrics.relative_pose_error_deg(pose, TURN, STEP) < 1e-3
    assert pose.translation == pytest.approx(STEP / np.linalg.norm(STEP), abs=1e-5)
    assert pose.inliers[15:].all()


def test_an_estimator_that_is_not_there_is_said_so(monkeypatch):
    fixed, moving = two_views(10)
    with pytest.raises(UsageError, match="no pose estimator is called magic"):
        metrics.estimate_relative_pose(fixed, moving, *INTRINSICS, estimator="magic")
    monkeypatch.setitem(sys.modules, "poselib", None)
    with pytest.raises(UsageError, match="PoseLib is not installed"):
        metrics.estimate_relative_pose(fixed, moving, *INTRINSICS, estimator="poselib")
