"""What all kinds of map have in common: points to fit, a consensus, a fit, a robust refit, and sanity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.geometry import Transform
from xmatch.geometry.outlines import lattice

SETTLED = 0.01
"""Reweighting ends when no residual changes by more than this, of their spread: the rest is below what it says."""
MAX_SCALE = 20.0
"""Local magnification beyond this, or below its inverse, is no registration. Not tuned."""


PointMap = Callable[[np.ndarray], np.ndarray]
"""(N, 2) moving px -> fixed px: a transform, or less."""


@dataclass(frozen=True)
class WeightedPoints:
    """Finite correspondences with weights."""

    moving_xy: np.ndarray
    """(N, 2) px."""
    fixed_xy: np.ndarray
    """(N, 2) px."""
    weight: np.ndarray
    """(N,) above 0."""

    @staticmethod
    def of(correspondences: Correspondences) -> WeightedPoints:
        # A certainty of 0, or none at all, must not take a point's voice away entirely: fits need some weight.
        weight = np.clip(np.nan_to_num(correspondences.certainty), 1e-3, 1.0)
        return WeightedPoints(correspondences.moving_xy, correspondences.fixed_xy, weight)

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, index: np.ndarray) -> WeightedPoints:
        return WeightedPoints(self.moving_xy[index], self.fixed_xy[index], self.weight[index])

    def mirrored(self) -> WeightedPoints:
        """Moving turned over about its left edge."""
        return replace(self, moving_xy=self.moving_xy * (-1, 1))

    def box(self) -> np.ndarray:
        """(4, 2) corners of the box around the moving positions."""
        (x0, y0), (x1, y1) = self.moving_xy.min(axis=0), self.moving_xy.max(axis=0)
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])

    def residual_px(self, transform: PointMap) -> np.ndarray:
        """(N,) fixed px; infinity where the map is not defined."""
        off = np.linalg.norm(transform(self.moving_xy) - self.fixed_xy, axis=1)
        return np.where(np.isnan(off), np.inf, off)


Consensus = Callable[[WeightedPoints, float, int], "np.ndarray | None"]
"""(points, tolerance_px, seed) -> (N,) bool of points that one map of the kind explains, or None."""

Fit = Callable[[WeightedPoints], Transform]
"""Weighted least squares. Raises ValueError or LinAlgError where the points do not determine the map."""


@dataclass(frozen=True)
class Model:
    """How one kind of map is estimated."""

    consensus: Consensus
    fit: Fit
    minimum: int
    """Points that determine the map."""
    wanted: int
    """Inliers from which on `auto` dares to choose it."""
    smoothing: float | None = None
    """Of a spline's fit, where it was chosen."""

    def smoothed(self, smoothing: float) -> Model:
        """The same with another smoothing of its fit, which must be a spline's."""
        fit: Callable[..., Transform] = self.fit
        return replace(self, fit=partial(fit, smoothing=smoothing), smoothing=smoothing)

    def try_fit(self, points: WeightedPoints) -> Transform | None:
        if len(points) < self.minimum:
            return None
        try:
            return self.fit(points)
        except (ValueError, np.linalg.LinAlgError):
            return None

    def robust_fit(self, points: WeightedPoints, steps: int = 6) -> Transform | None:
        """Least squares, reweighted by Cauchy's function of the residuals (Holland and Welsch 1977).

        The constant 2.385 keeps 95 % efficiency under normal noise, whose spread is taken from the median residual
        (Rayleigh's median is 1.177 sigma).
        """
        transform = self.try_fit(points)
        before = np.full(len(points), -1e9)
        for _ in range(steps):
            if transform is None:
                return None
            residual = points.residual_px(transform)
            sigma = max(_median(residual) / 1.177, 0.02)
            if not np.isfinite(sigma):
                return None
            known = np.isfinite(residual)
            if np.abs(residual - before)[known].max() < SETTLED * sigma:
                break
            before = np.where(known, residual, 0.0)
            weight = points.weight / (1.0 + (residual / (2.385 * sigma)) ** 2)
            transform = self.try_fit(replace(points, weight=weight))
        return transform


def _median(values: np.ndarray) -> float:
    """As `np.median`, which takes longer to look at what it is given than to find it."""
    ordered = np.sort(values)
    return float((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2)


def refine(
    model: Model, points: WeightedPoints, mask: np.ndarray, tolerance_px: float, rounds: int = 4
) -> Transform | None:
    """Robust fit to the marked points, and again to all points that then lie within the tolerance, until that rests."""
    transform = None
    for _ in range(rounds):
        fitted = model.robust_fit(points[mask])
        if fitted is None:
            return transform
        transform, before = fitted, mask
        mask = points.residual_px(transform) <= tolerance_px
        if (mask == before).all() or mask.sum() < model.minimum:
            break
    return transform


def sane_fit(
    models: Iterable[Model], points: WeightedPoints, mask: np.ndarray, tolerance_px: float, frame: np.ndarray
) -> Transform | None:
    """The refined fit of the first of `models` whose map `is_plausible` over the frame."""
    for model in models:
        transform = refine(model, points, mask, tolerance_px)
        if transform is not None and is_plausible(transform, frame):
            return transform
    return None


def is_plausible(transform: Transform, frame: np.ndarray) -> bool:
    """Whether the map is sane over the frame (4, 2) of moving: defined, not turned over, magnifying by 1/20 to 20.

    The local magnifications are the singular values of the Jacobian, by differences over a lattice of the frame.
    """
    low, high = frame.min(axis=0), frame.max(axis=0)
    step = np.maximum((high - low) / 64, 1e-3)
    # A map that bends may fold in a small part.
    nodes = lattice(*np.linspace(low, high, 5 if transform.matrix is not None else 33).T).reshape(-1, 2)
    # Differences that point inwards stay in the frame.
    inward = np.where(nodes < (low + high) / 2, 1.0, -1.0) * step
    at = transform(nodes)
    columns = [(transform(nodes + inward * axis) - at) / (inward @ axis)[:, None] for axis in np.eye(2)]
    jacobian = np.stack(columns, axis=-1)
    if not np.isfinite(jacobian).all():
        return False
    magnification = np.linalg.svd(jacobian, compute_uv=False)
    sane = (magnification >= 1 / MAX_SCALE) & (magnification <= MAX_SCALE)
    return bool(sane.all() and (np.linalg.det(jacobian) > 0).all())
