"""How a camera moved between two views, and whether halves of the points say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from xmatch.coords import Floats, Mask

ESTIMATORS = ((cv2.USAC_MAGSAC, 1.0), (cv2.RANSAC, 0.7))
"""Methods of OpenCV's, and their threshold in tolerances. Neither is right wherever the other is: on flat scenes each
takes the wrong one of two poses at times."""
SAMPLES, SAMPLES_OF_HALVES = 5_000, 1_000
"""Of each at most. Not tuned."""
CONFIDENCE = 0.999
LEAST = 8
"""Points that a pose is sought of: three more than determine it."""
REFINED = 3.0
"""A pose is refined by the points within so many tolerances. Not tuned."""
DIRECTIONS = 4
"""That points are halved in, each way twice: what lies before and what lies behind the middle."""


@dataclass(frozen=True, eq=False)
class RelativeMotion:
    """X_moving = rotation @ X_fixed + translation, in coordinates of the cameras."""

    rotation: Floats
    """(3, 3)."""
    translation: Floats
    """(3,) of length 1; images do not tell its length."""

    @property
    def essential(self) -> Floats:
        """(3, 3): (x, y, 1) of moving @ essential @ (x, y, 1) of fixed = 0."""
        x, y, z = self.translation
        crossing: Floats = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]) @ self.rotation
        return crossing

    def angle_deg(self, other: RelativeMotion) -> float:
        """The larger of the angles between the rotations and between the directions."""
        turn = Rotation.from_matrix(self.rotation.T @ other.rotation).magnitude()
        across = np.linalg.norm(np.cross(self.translation, other.translation))
        return float(np.degrees(max(turn, np.arctan2(across, self.translation @ other.translation))))


def relative_motion(fixed: Floats, moving: Floats, tolerance: float) -> RelativeMotion | None:
    """The motion that most points agree on; None where there is none.

    The candidates of several estimators are refined by robust least squares of Sampson's distance, and the one with the
    least truncated squares (MSAC, Torr and Zisserman, CVIU 78, 2000) is taken.

    Args:
        fixed: (N, 2) px from the principal point, divided by the focal length.
        moving: (N, 2) as `fixed`.
        tolerance: in the same units.
    """
    candidates = (_refined(found, fixed, moving, tolerance) for found in _estimates(fixed, moving, tolerance, SAMPLES))
    return _best(candidates, fixed, moving, tolerance)


def spread_deg(motion: RelativeMotion, fixed: Floats, moving: Floats, tolerance: float) -> float:
    """How far the motions that halves of the points show are from the one of all, the median of eight halves, degrees.

    Points that agree by chance, or for being one plane or one blunder, show another motion in each half.

    Args:
        motion: of all of them.
        fixed: as `relative_motion`, as all that follow.
    """
    agreeing = np.abs(sampson(motion, fixed, moving)) < tolerance
    angles = []
    for direction in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        along = fixed @ [np.cos(direction), np.sin(direction)]
        before = along < np.median(along[agreeing]) if agreeing.any() else along < np.median(along)
        for half in (before, ~before):
            found = _best(
                _estimates(fixed[half], moving[half], tolerance, SAMPLES_OF_HALVES),
                fixed[half],
                moving[half],
                tolerance,
            )
            angles.append(180.0 if found is None else motion.angle_deg(found))
    return float(np.median(angles))


def sampson(motion: RelativeMotion, fixed: Floats, moving: Floats) -> Floats:
    """(N,) signed distances, to first order, of pairs from those that the motion allows (Hartley and Zisserman 2004,
    equation 11.9)."""
    one = np.ones((len(fixed), 1))
    a, b = np.hstack([fixed, one]), np.hstack([moving, one])
    there, back = a @ motion.essential.T, b @ motion.essential
    across = (b * there).sum(axis=1)
    distance: Floats = across / np.sqrt((there[:, :2] ** 2).sum(axis=1) + (back[:, :2] ** 2).sum(axis=1) + 1e-30)
    return distance


def _estimates(fixed: Floats, moving: Floats, tolerance: float, samples: int) -> Iterator[RelativeMotion]:
    if len(fixed) < LEAST:
        return
    for method, share in ESTIMATORS:
        try:
            found, mask = _outcome(
                cv2.findEssentialMat(fixed, moving, np.eye(3), method, CONFIDENCE, share * tolerance, samples)
            )
        except cv2.error:
            # Some degenerate samples make OpenCV's solvers throw instead of returning nothing.
            continue
        if found is None or mask is None:
            continue
        agrees = mask.ravel().astype(bool)
        for matrix in found.reshape(-1, 3, 3):
            if np.isfinite(matrix).all() and agrees.sum() >= LEAST:
                yield _motion(matrix, fixed, moving, agrees)


def _outcome(found: tuple[Any, Any]) -> tuple[Any, Any]:
    """OpenCV's annotations leave out that there may be none."""
    return found


def _motion(essential: Floats, fixed: Floats, moving: Floats, agrees: Mask) -> RelativeMotion:
    """Of the four that a matrix allows the one that has most points in front of both cameras."""
    _, rotation, translation, _ = cv2.recoverPose(essential, fixed[agrees], moving[agrees], np.eye(3))
    direction = np.asarray(translation, np.float64).ravel()
    return RelativeMotion(np.asarray(rotation, np.float64), direction / np.linalg.norm(direction))


def _refined(motion: RelativeMotion, fixed: Floats, moving: Floats, tolerance: float) -> RelativeMotion:
    near = np.abs(sampson(motion, fixed, moving)) < REFINED * tolerance
    if near.sum() < LEAST:
        return motion
    across = np.linalg.svd(motion.translation[None])[2][1:]

    def moved(step: Floats) -> RelativeMotion:
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ motion.rotation
        translation = motion.translation + step[3:] @ across
        return RelativeMotion(rotation, translation / np.linalg.norm(translation))

    def distances(step: Floats) -> Floats:
        return sampson(moved(step), fixed[near], moving[near]) / (tolerance / 2)

    found: RelativeMotion = moved(least_squares(distances, np.zeros(5), loss="cauchy", max_nfev=20).x)
    return found


def _best(
    candidates: Iterator[RelativeMotion], fixed: Floats, moving: Floats, tolerance: float
) -> RelativeMotion | None:
    def cost(motion: RelativeMotion) -> float:
        return float(np.minimum((sampson(motion, fixed, moving) / tolerance) ** 2, 1.0).sum())

    return min(candidates, key=cost, default=None)
