"""Arithmetic of affine (3, 3) matrices, and the affine map nearest to any other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from xmatch.coords import AnyArray, Floats


def apply_affine(matrix: AnyArray, xy: AnyArray) -> Floats:
    """(..., 2) positions under the affine map `matrix`, (3, 3) or (2, 3)."""
    mapped: Floats = xy @ matrix[:2, :2].T + matrix[:2, 2]
    return mapped


def apply_projective(matrix: AnyArray, xy: AnyArray) -> Floats:
    """(N, 2) positions under a map (3, 3) of any kind, all of them taken to lie in front of its horizon."""
    mapped: Floats = np.column_stack([xy, np.ones(len(xy))]) @ matrix.T
    return mapped[:, :2] / mapped[:, 2:]


def shift_matrix(xy: ArrayLike) -> Floats:
    """(3, 3) shift by (x, y)."""
    x, y = np.asarray(xy, dtype=np.float64)
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scale_of(matrix: AnyArray) -> float:
    """Length of a unit under the affine map `matrix`, (2, 2) or larger: the root of what an area becomes."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


def local_scale(transform: Callable[[Floats], Floats], at_xy: ArrayLike) -> float:
    """Length of a px under any map, at the position (x, y) and one px to the right and below."""
    at = np.asarray(at_xy, dtype=np.float64)
    here, right, below = transform(np.array([at, at + (1.0, 0.0), at + (0.0, 1.0)]))
    return float(np.sqrt(abs(np.linalg.det(np.array([right - here, below - here])))))


def nearest_affine(from_xy: AnyArray, to_xy: AnyArray) -> Floats:
    """(3, 3) least-squares affine map of N positions onto N others; those that are not finite, in one or the other,
    have no say. NaN where fewer than three are left, or no float holds the map."""
    known = np.isfinite(from_xy).all(axis=1) & np.isfinite(to_xy).all(axis=1)
    if known.sum() < 3:
        return np.full((3, 3), np.nan)
    # LAPACK may not come to an end on numbers whose squares are infinite.
    (here, centred), (there, landed) = _normalised(from_xy[known]), _normalised(to_xy[known])
    solution = np.linalg.lstsq(np.column_stack([centred, np.ones(len(centred))]), landed, rcond=None)[0]
    with np.errstate(over="ignore", invalid="ignore"):
        matrix: Floats = there @ np.vstack([solution.T, (0.0, 0.0, 1.0)]) @ np.linalg.inv(here)
    return matrix if np.isfinite(matrix).all() else np.full((3, 3), np.nan)


def off_affine_px(before: Floats, after: Floats) -> float:
    """How far the way from (N, 2) places to others leaves the affine map nearest to it, 90th percentile, px there."""
    off = after - apply_affine(nearest_affine(before, after), before)
    return float(np.quantile(np.linalg.norm(off, axis=1), 0.9))


def _normalised(xy: AnyArray) -> tuple[Floats, Floats]:
    """The (3, 3) map of positions within [-1, 1] around their middle onto (N, 2) positions, and the former."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    middle = low / 2 + high / 2
    reach = float(np.abs(high / 2 - low / 2).max()) or 1.0
    return np.array([[reach, 0.0, middle[0]], [0.0, reach, middle[1]], [0.0, 0.0, 1.0]]), (xy - middle) / reach
