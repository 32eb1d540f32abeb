"""Relative poses of two calibrated cameras: estimated from matches, and how far they are off.

A pose takes points from fixed's camera to moving's: X_moving = rotation X_fixed + translation. Two images do not tell
the length of the translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from xmatch.errors import UsageError
from xmatch.metrics.matches import on_rays
from xmatch.metrics.recall import auc

POSE_THRESHOLDS_DEG = (5.0, 10.0, 20.0)
"""Of pose AUC, since SuperGlue."""

MINIMUM = 5
"""Matches that an essential matrix needs (Nister 2004)."""

Estimator = Literal["opencv", "poselib"]


class RelativePose(NamedTuple):
    rotation: np.ndarray
    """(3, 3)."""
    translation: np.ndarray
    """(3,), of length 1."""
    inliers: np.ndarray
    """(N,) bool: matches within the threshold and in front of both cameras."""


def rotation_error_deg(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Angle of the turn from one (3, 3) rotation to the other, 0 to 180 degrees.

    Of D = estimate^T truth: atan2(|d|, trace D - 1), d = (D32 - D23, D13 - D31, D21 - D12). The same angle as the
    arccos((trace D - 1) / 2) of SuperGlue's `angle_error_mat`, and exact near 0, where that is not.
    """
    turn = np.asarray(estimate, dtype=np.float64).T @ np.asarray(truth, dtype=np.float64)
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    return float(np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(turn) - 1.0)))


def translation_error_deg(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Angle between two (3,) directions up to sign, 0 to 90 degrees: atan2(|a x b|, |a . b|).

    SuperGlue's `compute_pose_error`: min(angle, 180 - angle), since an essential matrix does not tell the sign.
    NaN when the truth has no length; 90 when only the estimate has none.
    """
    estimate, truth = np.asarray(estimate, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if not truth.any():
        return float("nan")
    if not estimate.any():
        return 90.0
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(estimate, truth)), abs(estimate @ truth))))


def relative_pose_error_deg(estimate: RelativePose | None, rotation: np.ndarray, translation: np.ndarray) -> float:
    """The larger of the angles that rotation and translation are off, degrees; infinity when there is no pose.

    SuperGlue, Sarlin et al. 2020. When the true `translation` (3,) is zero, `rotation` (3, 3) alone counts.
    """
    if estimate is None:
        return float("inf")
    angles = rotation_error_deg(estimate.rotation, rotation), translation_error_deg(estimate.translation, translation)
    error = float(np.fmax(*angles))
    return error if np.isfinite(error) else float("inf")


def pose_auc(errors_deg: Sequence[float], thresholds_deg: Sequence[float] = POSE_THRESHOLDS_DEG) -> np.ndarray:
    """(T,) area under the recall curve of `relative_pose_error_deg` up to each threshold, percent; see `auc`."""
    return auc(errors_deg, thresholds_deg)


def mean_focal_px(fixed_intrinsics: np.ndarray, moving_intrinsics: np.ndarray) -> float:
    """Mean of the four focal lengths of two (3, 3) intrinsics, px."""
    return float(np.mean([k[i, i] for k in (fixed_intrinsics, moving_intrinsics) for i in (0, 1)]))


def estimate_relative_pose(
    fixed_xy: np.ndarray,
    moving_xy: np.ndarray,
    fixed_intrinsics: np.ndarray,
    moving_intrinsics: np.ndarray,
    *,
    threshold_px: float = 0.5,
    confidence: float = 0.99999,
    focal_px: float | None = None,
    estimator: Estimator = "opencv",
) -> RelativePose | None:
    """The pose by RANSAC over essential matrices; None where there are too few matches or none that agree.

    The protocol of SuperGlue's `estimate_pose`, which LoFTR, RoMa and MINIMA share: five-point RANSAC (Nister 2004) in
    normalised coordinates with the threshold divided by the mean focal length, then the decomposition with the most
    points in front of both cameras. Deterministic.

    Args:
        fixed_xy: (N, 2) px.
        moving_xy: (N, 2) px.
        fixed_intrinsics: (3, 3), of positions counted as `fixed_xy` are.
        moving_intrinsics: (3, 3).
        threshold_px: epipolar distance of an inlier; 0.5 on MegaDepth and ScanNet, 1.5 for METU-VisTIR in MINIMA.
        confidence: of RANSAC's stopping rule.
        focal_px: what OpenCV's threshold is divided by; default `mean_focal_px`.
        estimator: "poselib" is LO-RANSAC with refinement (Larsson, PoseLib), where that package is installed.

    Raises:
        UsageError: no such estimator, or PoseLib is not installed.
    """
    if estimator not in ("opencv", "poselib"):
        raise UsageError(f"no pose estimator is called {estimator}", hint="there are opencv and poselib")
    if len(fixed_xy) < MINIMUM:
        return None
    fixed_k, moving_k = (np.asarray(k, dtype=np.float64) for k in (fixed_intrinsics, moving_intrinsics))
    if estimator == "poselib":
        return _by_poselib(fixed_xy, moving_xy, fixed_k, moving_k, threshold_px, confidence)
    threshold = threshold_px / (focal_px or mean_focal_px(fixed_k, moving_k))
    return _by_opencv(on_rays(fixed_xy, fixed_k)[:, :2], on_rays(moving_xy, moving_k)[:, :2], threshold, confidence)


def _by_opencv(fixed: np.ndarray, moving: np.ndarray, threshold: float, confidence: float) -> RelativePose | None:
    import cv2

    essential, agree = cv2.findEssentialMat(
        fixed, moving, np.eye(3), method=cv2.RANSAC, prob=confidence, threshold=threshold
    )
    best, most = None, 0
    # Five matches alone fit up to ten matrices, one above the other.
    for candidate in [] if essential is None else essential.reshape(-1, 3, 3):
        # recoverPose strikes from the mask that it is given, and drops far points unless it is told how far to look.
        count, rotation, translation, in_front = cv2.recoverPose(
            candidate, fixed, moving, np.eye(3), 1e9, mask=agree.copy()
        )[:4]
        if count > most:
            best, most = RelativePose(rotation, translation[:, 0], in_front.ravel() > 0), count
    return best


def _by_poselib(
    fixed_xy: np.ndarray,
    moving_xy: np.ndarray,
    fixed_intrinsics: np.ndarray,
    moving_intrinsics: np.ndarray,
    threshold_px: float,
    confidence: float,
) -> RelativePose | None:
    try:
        import poselib
    except ImportError as error:
        raise UsageError(
            "PoseLib is not installed", hint="pip install poselib, or take the estimator opencv"
        ) from error

    cameras = [
        # The size of the image plays no part; PoseLib only wants to be told one.
        {"model": "PINHOLE", "width": 1, "height": 1, "params": [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]}
        for k in (fixed_intrinsics, moving_intrinsics)
    ]
    options = {"max_epipolar_error": threshold_px, "success_prob": confidence, "seed": 0}
    points = [np.ascontiguousarray(xy, dtype=np.float64) for xy in (fixed_xy, moving_xy)]
    pose, found = poselib.estimate_relative_pose(*points, *cameras, options)
    inliers = np.asarray(found["inliers"], dtype=bool)
    if not inliers.any():
        return None
    translation = np.asarray(pose.t, dtype=np.float64)
    return RelativePose(np.asarray(pose.R, dtype=np.float64), translation / np.linalg.norm(translation), inliers)
