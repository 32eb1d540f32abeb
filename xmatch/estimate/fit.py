"""Weighted least squares for the projective kinds.

Each raises ValueError (or LinAlgError) where the points leave the map open: too few, in one place, on one line.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from xmatch.estimate.model import WeightedPoints
from xmatch.geometry import Linear
from xmatch.geometry.matrices import shift_matrix

_FLAT = 1e-3
"""Points whose spread across is less than this part of their spread along lie on a line. Not tuned."""


def fit_translation(points: WeightedPoints) -> Linear:
    shift = np.average(points.fixed_xy - points.moving_xy, axis=0, weights=points.weight)
    return Linear(shift_matrix(shift), "translation")


def fit_similarity(points: WeightedPoints) -> Linear:
    """Umeyama, PAMI 13, 1991, equations 40 to 42, with weights; never turns over."""
    moving_mean, moving = _centre(points.moving_xy, points.weight)
    fixed_mean, fixed = _centre(points.fixed_xy, points.weight)
    share = points.weight / points.weight.sum()
    variance = (share * (moving**2).sum(axis=1)).sum()
    if variance < 1e-12:
        raise ValueError("all points lie in one place")
    u, singular, vt = np.linalg.svd((fixed * share[:, None]).T @ moving)
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    matrix = np.eye(3)
    matrix[:2, :2] = (u * sign) @ vt * (singular @ sign) / variance
    return Linear(shift_matrix(fixed_mean) @ matrix @ shift_matrix(-moving_mean), "similarity")


def fit_affine(points: WeightedPoints) -> Linear:
    to_fixed, fixed = _normalise(points.fixed_xy, points.weight)
    to_moving, moving = _normalise(points.moving_xy, points.weight)
    root = np.sqrt(points.weight)[:, None]
    solution = np.linalg.lstsq(np.column_stack([moving, np.ones(len(moving))]) * root, fixed * root, rcond=None)[0]
    matrix = np.vstack([solution.T, (0.0, 0.0, 1.0)])
    return Linear(np.linalg.inv(to_fixed) @ matrix @ to_moving, "affine")


def fit_homography(points: WeightedPoints) -> Linear:
    """Normalised DLT (Hartley and Zisserman 2004, algorithm 4.2), then Levenberg-Marquardt on distances in fixed."""
    to_fixed, fixed = _normalise(points.fixed_xy, points.weight)
    to_moving, moving = _normalise(points.moving_xy, points.weight)
    root = np.sqrt(points.weight)
    homogeneous = np.column_stack([moving, np.ones(len(moving))])
    zero = np.zeros_like(homogeneous)
    rows = [np.hstack([homogeneous, zero, -fixed[:, :1] * homogeneous])]
    rows += [np.hstack([zero, homogeneous, -fixed[:, 1:] * homogeneous])]
    system = np.vstack(rows) * np.tile(root, 2)[:, None]
    # The Gram matrix costs the same for ten points and for ten thousand.
    values, vectors = np.linalg.eigh(system.T @ system)
    if values[1] < 1e-12 * values[-1]:
        raise ValueError("the points leave the homography open")
    start = vectors[:, 0] / vectors[8, 0]

    def miss(h: np.ndarray) -> np.ndarray:
        mapped = homogeneous @ np.append(h, 1.0).reshape(3, 3).T
        return ((mapped[:, :2] / mapped[:, 2:] - fixed) * root[:, None]).ravel()

    def slope(h: np.ndarray) -> np.ndarray:
        mapped = homogeneous @ np.append(h, 1.0).reshape(3, 3).T
        row = homogeneous * (root / mapped[:, 2])[:, None]
        xy = mapped[:, :2] / mapped[:, 2:]
        x, y = (np.hstack([part, -row[:, :2] * xy[:, i : i + 1]]) for i, part in enumerate(_beside(row, zero)))
        return np.stack([x, y], axis=1).reshape(-1, 8)

    if len(moving) > 4 and np.isfinite(start).all():
        start = np.append(least_squares(miss, start[:8], slope, method="lm", max_nfev=50).x, 1.0)
    return Linear(np.linalg.inv(to_fixed) @ start.reshape(3, 3) @ to_moving, "homography")


def _beside(row: np.ndarray, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.hstack([row, zero]), np.hstack([zero, row])


def _centre(xy: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = np.average(xy, axis=0, weights=weight)
    return mean, xy - mean


def _normalise(xy: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) map to mean 0 and mean square 1 per axis, and the mapped points (Hartley, PAMI 19, 1997)."""
    mean, centred = _centre(xy, weight)
    spread = np.linalg.svd(centred * np.sqrt(weight / weight.sum())[:, None], compute_uv=False)
    if len(spread) < 2 or spread[1] <= _FLAT * spread[0]:
        raise ValueError("all points lie on one line")
    scale = np.sqrt(2.0) / np.linalg.norm(spread)
    return np.diag([scale, scale, 1.0]) @ shift_matrix(-mean), centred * scale
