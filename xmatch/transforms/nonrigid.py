"""Maps that bend: the thin-plate spline and the displacement grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class ThinPlateSpline:
    """The smoothest map through (or, with smoothing, near) control points (Bookstein, PAMI 11, 1989)."""

    moving_xy: np.ndarray
    """(N, 2) px, N >= 3, not on one line."""
    fixed_xy: np.ndarray
    """(N, 2) px."""
    smoothing: float = 0.0
    """0 interpolates; larger trusts the control points less (scipy's RBFInterpolator)."""
    kind: str = field(default="tps", init=False)
    matrix: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        shape = np.shape(self.moving_xy)
        if len(shape) != 2 or shape[1] != 2 or np.shape(self.fixed_xy) != shape:
            raise ValueError(f"a spline needs as many fixed as moving points; got {np.shape(self.fixed_xy)}, {shape}")
        if not (np.isfinite(self.moving_xy).all() and np.isfinite(self.fixed_xy).all()):
            raise ValueError("a control point of a thin-plate spline is not a finite number")
        if not 0 <= self.smoothing < np.inf:
            raise ValueError(f"smoothing {self.smoothing} is not a finite number from 0")
        spread = self.moving_xy - self.moving_xy.mean(axis=0)
        # Rounding hides collinear points from scipy, which then extrapolates wildly instead of refusing.
        if len(spread) < 3 or np.linalg.matrix_rank(spread, tol=1e-6 * np.abs(spread).max()) < 2:
            raise ValueError("a thin-plate spline needs three control points that are not on one line")

    @cached_property
    def _spline(self):
        from scipy.interpolate import RBFInterpolator

        try:
            return RBFInterpolator(self.moving_xy, self.fixed_xy, smoothing=self.smoothing, kernel="thin_plate_spline")
        except np.linalg.LinAlgError as error:
            raise ValueError("a thin-plate spline takes no control point twice") from error

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        xy = np.asarray(xy, dtype=np.float64)
        return self._spline(xy.reshape(-1, 2)).reshape(xy.shape)

    @cached_property
    def inverse(self) -> Inverse:
        return Inverse(self, _affine_fit(self.fixed_xy, self.moving_xy))

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "moving_xy": self.moving_xy.tolist(),
            "fixed_xy": self.fixed_xy.tolist(),
            "smoothing": self.smoothing,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> ThinPlateSpline:
        moving_xy, fixed_xy = (np.array(data[name], float) for name in ("moving_xy", "fixed_xy"))
        spline = ThinPlateSpline(moving_xy, fixed_xy, float(data["smoothing"]))
        if not np.isfinite(spline(moving_xy[:1])).all():  # solves it, too, which may find that it cannot be
            raise ValueError("its control points fit no thin-plate spline")
        return spline


@dataclass(frozen=True, eq=False)
class DisplacementGrid:
    """Target positions on a regular lattice over the moving image, linear in between and beyond."""

    origin_xy: tuple[float, float]
    """Position of node (0, 0), moving px."""
    step_xy: tuple[float, float]
    """Distance of nodes, moving px."""
    target_xy: np.ndarray
    """(h, w, 2) fixed px of each node, h, w >= 2; NaN where the map is not defined."""
    kind: str = field(default="grid", init=False)
    matrix: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.target_xy.ndim != 3 or self.target_xy.shape[2] != 2 or min(self.target_xy.shape[:2]) < 2:
            raise ValueError(f"a displacement grid needs (h >= 2, w >= 2, 2) targets; got {self.target_xy.shape}")
        if np.isinf(self.target_xy).any():
            raise ValueError("a target of a displacement grid is infinite")
        frame = np.array([self.origin_xy, self.step_xy], float)
        if frame.shape != (2, 2) or not np.isfinite(frame).all() or (frame[1] <= 0).any():
            raise ValueError(f"a displacement grid cannot start at {self.origin_xy} and step by {self.step_xy} px")

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        xy = np.asarray(xy, dtype=np.float64)
        height, width = self.target_xy.shape[:2]
        node = (xy - np.array(self.origin_xy)) / np.array(self.step_xy)
        # Clamping the cell, not the position, continues the outermost cells linearly.
        cell = np.clip(np.nan_to_num(np.floor(node)), 0, (width - 2, height - 2)).astype(int)
        fx, fy = np.moveaxis((node - cell)[..., None, :], -1, 0)
        ix, iy = cell[..., 0], cell[..., 1]
        top = self.target_xy[iy, ix] * (1 - fx) + self.target_xy[iy, ix + 1] * fx
        bottom = self.target_xy[iy + 1, ix] * (1 - fx) + self.target_xy[iy + 1, ix + 1] * fx
        return top * (1 - fy) + bottom * fy

    @property
    def nodes_xy(self) -> np.ndarray:
        """(h, w, 2) moving px."""
        height, width = self.target_xy.shape[:2]
        xs = self.origin_xy[0] + self.step_xy[0] * np.arange(width)
        ys = self.origin_xy[1] + self.step_xy[1] * np.arange(height)
        return np.stack(np.meshgrid(xs, ys), axis=-1)

    @cached_property
    def inverse(self) -> Inverse:
        return Inverse(self, _affine_fit(self.target_xy.reshape(-1, 2), self.nodes_xy.reshape(-1, 2)))

    @staticmethod
    def sampled(transform, width: int, height: int, step_px: float) -> DisplacementGrid:
        """Any map moving -> fixed, sampled over a moving image of `width` x `height` px."""
        nx, ny = max(2, int(np.ceil(width / step_px)) + 1), max(2, int(np.ceil(height / step_px)) + 1)
        step = (width / (nx - 1), height / (ny - 1))
        nodes = np.stack(np.meshgrid(step[0] * np.arange(nx), step[1] * np.arange(ny)), axis=-1)
        target = transform(nodes.reshape(-1, 2)).reshape(nodes.shape)
        return DisplacementGrid((0.0, 0.0), step, np.where(np.isfinite(target).all(-1, keepdims=True), target, np.nan))

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "origin_xy": list(self.origin_xy),
            "step_xy": list(self.step_xy),
            "target_xy": self.target_xy.tolist(),
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DisplacementGrid:
        return DisplacementGrid(tuple(data["origin_xy"]), tuple(data["step_xy"]), np.array(data["target_xy"], float))


@dataclass(frozen=True, eq=False)
class Inverse:
    """A bent map read backwards, by quasi-Newton steps from its affine part."""

    inverse: ThinPlateSpline | DisplacementGrid
    start: np.ndarray
    """(3, 3) affine guess of the inverse; its linear part also serves as the constant Jacobian of the steps."""
    matrix: None = field(default=None, init=False)
    tolerance_px: float = 1e-4
    max_steps: int = 50

    @property
    def kind(self) -> str:
        return self.inverse.kind

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """NaN where the steps do not converge (the map folds there)."""
        target = np.asarray(xy, dtype=np.float64)
        guess = target @ self.start[:2, :2].T + self.start[:2, 2]
        miss = np.zeros_like(target)
        for _ in range(self.max_steps):
            miss = target - self.inverse(guess)
            if not (np.abs(miss) > self.tolerance_px).any():
                return guess
            guess = guess + miss @ self.start[:2, :2].T
        return np.where((np.abs(miss) <= 100 * self.tolerance_px).all(axis=-1, keepdims=True), guess, np.nan)

    def as_dict(self) -> dict[str, Any]:
        raise TypeError("write the forward transform and ask it for its inverse")


def _affine_fit(from_xy: np.ndarray, to_xy: np.ndarray) -> np.ndarray:
    """(3, 3) least-squares affine through the points that both have; NaN where these are too few."""
    known = np.isfinite(from_xy).all(axis=1) & np.isfinite(to_xy).all(axis=1)
    if known.sum() < 3:
        return np.full((3, 3), np.nan)
    # LAPACK's decomposition may not come to an end on numbers that are not finite.
    from_xy, to_xy = from_xy[known], to_xy[known]
    design = np.column_stack([from_xy, np.ones(len(from_xy))])
    solution = np.linalg.lstsq(design, to_xy, rcond=None)[0]
    return np.vstack([solution.T, (0.0, 0.0, 1.0)])
