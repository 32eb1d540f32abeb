"""Which points two views of a scene with depth agree on: a point of one lies on a line of the other."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.special import gammaln

from xmatch.coords import Floats, Mask
from xmatch.correspondences import Correspondences
from xmatch.estimate.consensus import magsac_params
from xmatch.estimate.relative_pose import RelativeMotion, relative_motion, spread_deg

SAMPLE = 7
"""Points that determine a fundamental matrix."""
SAMPLES = 20_000
"""Of the consensus at most. Not tuned."""


@dataclass(frozen=True, eq=False)
class EpipolarGeometry:
    """A fundamental matrix and what agrees with it."""

    matrix: Floats
    """(3, 3): (x, y, 1) of fixed @ matrix @ (x, y, 1) of moving = 0, px, corner-counted; of Frobenius norm 1."""
    residual_px: Floats
    """(N,) the larger of the distances to the line in fixed and to that in moving, px of each."""
    inliers: Mask
    """(N,) bool: within the tolerance."""
    log10_false_alarms: float
    """How many such geometries unrelated points would show (Moisan and Stival, IJCV 57, 2004)."""
    motion: RelativeMotion | None = None
    """Of the camera, where focal lengths are known."""
    spread_deg: float = float("nan")
    """How far the motions that halves of the points show are from that one."""


def epipolar_geometry(
    points: Correspondences,
    fixed_size: tuple[int, int],
    moving_size: tuple[int, int],
    tolerance_px: float,
    seed: int,
    focal_px: tuple[float, float] | None = None,
) -> EpipolarGeometry | None:
    """The fundamental matrix that most points agree on, by MAGSAC++; None where there is none.

    Args:
        fixed_size: (width, height) px, as `moving_size`.
        tolerance_px: of an inlier.
        focal_px: of the cameras of fixed and moving, whose principal points are the images' middles: the matrix is an
            essential one between them. None: nothing is known of the cameras.
    """
    if len(points) < SAMPLE + 1:
        return None
    here, there = points.fixed_xy - np.array(fixed_size) / 2, points.moving_xy - np.array(moving_size) / 2
    motion, spread = None, float("nan")
    if focal_px is None:
        found = _fundamental(here, there, tolerance_px, seed)
        focal_px = (1.0, 1.0)
    else:
        fixed, moving = here / focal_px[0], there / focal_px[1]
        tolerance = tolerance_px / float(np.mean(focal_px))
        motion = relative_motion(fixed, moving, tolerance)
        found = None if motion is None else motion.essential.T
        spread = float("nan") if motion is None else spread_deg(motion, fixed, moving, tolerance)
    if found is None:
        return None
    sizes = fixed_size, moving_size
    to_fixed, to_moving = (_normalising(np.array(size) / 2, f) for size, f in zip(sizes, focal_px, strict=True))
    matrix = to_fixed.T @ found @ to_moving
    matrix = matrix / np.linalg.norm(matrix)
    residual = np.maximum(
        _distance_px(points.moving_xy, points.fixed_xy, matrix),
        _distance_px(points.fixed_xy, points.moving_xy, matrix.T),
    )
    inliers = residual <= tolerance_px
    # By chance a point lies so near to a line as the strip around it is of its image.
    strip = max(2 * tolerance_px * np.hypot(*size) / (size[0] * size[1]) for size in (fixed_size, moving_size))
    alarms = _log10_false_alarms(int(inliers.sum()), len(points), strip)
    return EpipolarGeometry(matrix, residual, inliers, alarms, motion, spread)


def _fundamental(fixed: Floats, moving: Floats, tolerance_px: float, seed: int) -> Floats | None:
    params = magsac_params(len(fixed), tolerance_px, seed, SAMPLES)
    try:
        found, _ = cv2.findFundamentalMat(moving.astype(np.float32), fixed.astype(np.float32), params)
    except cv2.error:
        # Some degenerate samples make OpenCV's solvers throw instead of returning nothing.
        return None
    usable = found is not None and len(found) >= 3 and np.isfinite(found[:3]).all()
    return np.asarray(found[:3], np.float64) if usable else None


def _normalising(middle: Floats, focal: float) -> Floats:
    return np.array([[1 / focal, 0, -middle[0] / focal], [0, 1 / focal, -middle[1] / focal], [0, 0, 1]])


def _distance_px(from_xy: Floats, to_xy: Floats, matrix: Floats) -> Floats:
    """(N,) distances of positions from the lines that the others have in their image."""
    lines = np.column_stack([from_xy, np.ones(len(from_xy))]) @ matrix.T
    across = np.abs((np.column_stack([to_xy, np.ones(len(to_xy))]) * lines).sum(axis=1))
    distance: Floats = across / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)
    return distance


def _log10_false_alarms(agreeing: int, count: int, chance: float) -> float:
    """Expected number of samples whose geometry so many of unrelated points agree on, log10 (their equation 10)."""
    if agreeing <= SAMPLE:
        return float("inf")
    natural = _log_choose(count, agreeing) + _log_choose(agreeing, SAMPLE) + np.log(3 * (count - SAMPLE))
    return float((natural + (agreeing - SAMPLE) * np.log(min(chance, 1.0))) / np.log(10))


def _log_choose(n: int, k: int) -> float:
    return float(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
