"""Bent maps: a smoothed thin-plate spline through local means of the inliers."""

from __future__ import annotations

import numpy as np

from xmatch.estimate.consensus import affine_consensus, homography_consensus
from xmatch.estimate.model import Consensus, WeightedPoints
from xmatch.geometry import ThinPlateSpline, Transform

CELLS = 12
"""Control points are the means of the inliers in CELLS x CELLS cells: the spline stays quick, and its noise small.
Not tuned."""

SMOOTHING = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates, in units of the squared extent of the points, as the kernel r^2 log r grows; 1 is nearly affine."""

LOOSE = 4.0
"""The map about which a bent one bends may miss by so many tolerances. Not tuned."""


def bent_consensus(points: WeightedPoints, tolerance_px: float, seed: int) -> np.ndarray | None:
    """Points near enough to one stiff map that a gentle bend can explain them."""
    found = [find(points, LOOSE * tolerance_px, seed) for find in (affine_consensus, homography_consensus)]
    masks = [mask for mask in found if mask is not None]
    return max(masks, key=lambda mask: int(np.count_nonzero(mask))) if masks else None


def near(about: Transform) -> Consensus:
    """Points near enough to a map that is known already."""
    return lambda points, tolerance_px, seed: points.residual_px(about) <= LOOSE * tolerance_px


def fit_spline(points: WeightedPoints, smoothing: float = 1e-2) -> ThinPlateSpline:
    """A spline near the means of the cells; raises ValueError when these do not span the plane."""
    low, high = points.moving_xy.min(axis=0), points.moving_xy.max(axis=0)
    extent = float((high - low).max())
    if extent <= 0:
        raise ValueError("all points lie in one place")
    cell = np.minimum((points.moving_xy - low) / extent * CELLS, CELLS - 1).astype(int)
    _, index = np.unique(cell @ (CELLS, 1), return_inverse=True)
    moving, fixed = (_cell_means(xy, index, points.weight) for xy in (points.moving_xy, points.fixed_xy))
    spline = ThinPlateSpline(moving, fixed, smoothing * extent**2)
    # Solving happens at the first call; an unsolvable system should be told now.
    spline(moving[:1])
    return spline


def _cell_means(xy: np.ndarray, index: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = np.bincount(index, weights=weight)
    return np.column_stack([np.bincount(index, weights=weight * xy[:, i]) / total for i in range(2)])
