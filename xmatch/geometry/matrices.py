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
    """(3, 3) least-squares affine map of N >= 3 positions onto N others; NaN of fewer than three.

    All of them must be finite: LAPACK may not come to an end on others.
    """
    if len(from_xy) < 3:
        return np.full((3, 3), np.nan)
    design = np.column_stack([from_xy, np.ones(len(from_xy))])
    solution = np.linalg.lstsq(design, to_xy, rcond=None)[0]
    return np.vstack([solution.T, (0.0, 0.0, 1.0)])
