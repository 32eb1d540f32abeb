"""Weighted least squares for the projective kinds.

Each raises ValueError (or LinAlgError) where the points leave the map open: too few, in one place, on one line.
"""

from __future__ import annotations

import numpy as np

from xmatch.estimate.model import WeightedPoints
from xmatch.geometry import Linear
from xmatch.geometry.matrices import shift_matrix

_FLAT = 1e-3
"""Points whose spread across is less than this part of their spread along lie on a line. Not tuned."""


def fit_translation(points: WeightedPoints) -> Linear:
    shift = np.average(points.fixed_xy - points.moving_xy, axis=0, weights=points.weight)
    return Linear(shift_matrix(shift), "translation")


def fit_similarity(points: WeightedPoints) -> Linear:
    """Weighted least squares over z -> a z + b in the complex plane, which never turns over: what Umeyama (PAMI 13,
    1991, equations 40 to 42) comes to in two dimensions."""
    share = points.weight / points.weight.sum()
    moving_mean, fixed_mean = share @ points.moving_xy, share @ points.fixed_xy
    moving, fixed = points.moving_xy - moving_mean, points.fixed_xy - fixed_mean
    weighted = moving * share[:, None]
    variance = np.vdot(weighted, moving)
    if variance < 1e-12:
        raise ValueError("all points lie in one place")
    (xx, xy), (yx, yy) = weighted.T @ fixed / variance
    matrix = np.array([[xx + yy, yx - xy, 0.0], [xy - yx, xx + yy, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = fixed_mean - matrix[:2, :2] @ moving_mean
    return Linear(matrix, "similarity")


def fit_affine(points: WeightedPoints) -> Linear:
    to_fixed, fixed = _normalise(points.fixed_xy, points.weight)
    to_moving, moving = _normalise(points.moving_xy, points.weight)
    # Both sides have mean 0: what is left are four numbers, and the normal equations of points of size 1.
    weighted = moving * points.weight[:, None]
    matrix = np.eye(3)
    matrix[:2, :2] = np.linalg.solve(weighted.T @ moving, weighted.T @ fixed).T
    return Linear(np.linalg.inv(to_fixed) @ matrix @ to_moving, "affine")


def fit_homography(points: WeightedPoints) -> Linear:
    """Normalised DLT (Hartley and Zisserman 2004, algorithm 4.2), then Levenberg-Marquardt on distances in fixed."""
    to_fixed, fixed = _normalise(points.fixed_xy, points.weight)
    to_moving, moving = _normalise(points.moving_xy, points.weight)
    homogeneous = np.column_stack([moving, np.ones(len(moving))])
    values, vectors = np.linalg.eigh(_gram(homogeneous, fixed, points.weight))
    if values[1] < 1e-12 * values[-1]:
        raise ValueError("the points leave the homography open")
    found = (vectors[:, 0] / vectors[8, 0]).reshape(3, 3)
    if len(moving) > 4 and np.isfinite(found).all():
        found = _polished(found, homogeneous, fixed, points.weight)
    return Linear(np.linalg.inv(to_fixed) @ found @ to_moving, "homography")


STEPS, LEAST_STEP = 20, 1e-7
"""Of Levenberg-Marquardt, and of any number of the matrix, where points have size 1."""


def _polished(start: np.ndarray, moving: np.ndarray, fixed: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The homography (3, 3) near `start` that brings `moving` (N, 3) nearest to `fixed` (N, 2)."""
    best, least, damping = start, np.inf, 1e-3
    found, system = start, None
    for _ in range(STEPS):
        mapped = moving @ found.T
        xy = mapped[:, :2] / mapped[:, 2:]
        off = fixed - xy
        weighted = off * weight[:, None]
        cost = float(np.vdot(weighted, off))
        if cost < least:
            best, least, damping = found, cost, damping / 10
            row = moving / mapped[:, 2:]
            along = row.T @ np.column_stack([weighted, -(weighted * xy).sum(axis=1)])
            system = _gram(row, xy, weight)[:8, :8], along.T.ravel()[:8]
        else:
            damping *= 10
        if system is None:  # not even the start is defined at all points
            break
        hessian, pull = system
        step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), pull)
        if np.abs(step).max() < LEAST_STEP or damping > 1e6:
            break
        found = best + np.append(step, 0.0).reshape(3, 3)
    return best


def _gram(row: np.ndarray, xy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(9, 9) weighted sum of the outer products of (row, 0, -x row) and of (0, row, -y row), (N, 3) and (N, 2)."""
    x, y = xy.T
    weights = np.stack([weight, -weight * x, -weight * y, weight * (x * x + y * y)])
    plain, by_x, by_y, by_both = (weights[:, None] * row.T) @ row
    gram = np.zeros((9, 9))
    gram[:3, :3] = gram[3:6, 3:6] = plain
    gram[:3, 6:] = gram[6:, :3] = by_x
    gram[3:6, 6:] = gram[6:, 3:6] = by_y
    gram[6:, 6:] = by_both
    return gram


def _normalise(xy: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) map to mean 0 and mean square 1 per axis, and the mapped points (Hartley, PAMI 19, 1997)."""
    share = weight / weight.sum()
    mean = share @ xy
    centred = xy - mean
    (xx, across), (_, yy) = (centred * share[:, None]).T @ centred
    # Largest and smallest variance of any direction.
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, across)
    if len(xy) < 2 or middle - half <= _FLAT**2 * (middle + half):
        raise ValueError("all points lie on one line")
    scale = 1.0 / np.sqrt(middle)
    return np.array([[scale, 0.0, -scale * mean[0]], [0.0, scale, -scale * mean[1]], [0.0, 0.0, 1.0]]), centred * scale
