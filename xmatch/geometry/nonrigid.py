"""Maps that bend: the thin-plate spline and the displacement grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xmatch.coords import AnyArray, Floats
from xmatch.geometry.matrices import apply_affine, nearest_affine
from xmatch.geometry.outlines import lattice

if TYPE_CHECKING:
    from scipy.interpolate import RBFInterpolator
    from scipy.spatial import cKDTree


@dataclass(frozen=True, eq=False)
class ThinPlateSpline:
    """The smoothest map through (or, with smoothing, near) control points (Bookstein, PAMI 11, 1989)."""

    moving_xy: AnyArray
    """(N, 2) px, N >= 3, not on one line."""
    fixed_xy: AnyArray
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
    def _spline(self) -> RBFInterpolator:
        from scipy.interpolate import RBFInterpolator

        try:
            spline: Callable[[Floats], Floats] = RBFInterpolator(
                self.moving_xy, self.fixed_xy, smoothing=self.smoothing, kernel="thin_plate_spline"
            )
            return spline
        except np.linalg.LinAlgError as error:
            raise ValueError("a thin-plate spline takes no control point twice") from error

    def __call__(self, xy: AnyArray) -> AnyArray:
        xy = np.asarray(xy, dtype=np.float64)
        mapped: np.ndarray = self._spline(xy.reshape(-1, 2))
        return mapped.reshape(xy.shape)

    @cached_property
    def inverse(self) -> Inverse:
        return Inverse(self, self.moving_xy, self.fixed_xy)

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
    target_xy: AnyArray
    """(h, w, 2) fixed px of each node, h, w >= 2; NaN where moving shows what fixed cannot, as beyond a horizon."""
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

    def __call__(self, xy: AnyArray) -> AnyArray:
        xy = np.asarray(xy, dtype=np.float64)
        height, width = self.target_xy.shape[:2]
        node = (xy - np.array(self.origin_xy)) / np.array(self.step_xy)
        # Clamping the cell, not the position, continues the outermost cells linearly.
        cell = np.clip(np.nan_to_num(np.floor(node)), 0, (width - 2, height - 2)).astype(int)
        fx, fy = np.moveaxis((node - cell)[..., None, :], -1, 0)
        ix, iy = cell[..., 0], cell[..., 1]
        top = self.target_xy[iy, ix] * (1 - fx) + self.target_xy[iy, ix + 1] * fx
        bottom = self.target_xy[iy + 1, ix] * (1 - fx) + self.target_xy[iy + 1, ix + 1] * fx
        landed: Floats = top * (1 - fy) + bottom * fy
        return landed

    @property
    def nodes_xy(self) -> AnyArray:
        """(h, w, 2) moving px."""
        height, width = self.target_xy.shape[:2]
        xs = self.origin_xy[0] + self.step_xy[0] * np.arange(width)
        ys = self.origin_xy[1] + self.step_xy[1] * np.arange(height)
        return lattice(xs, ys)

    @cached_property
    def inverse(self) -> Inverse:
        return Inverse(self, self.nodes_xy.reshape(-1, 2), self.target_xy.reshape(-1, 2))

    @staticmethod
    def sampled(
        transform: Callable[[Floats], AnyArray], width: float, height: float, step_px: float
    ) -> DisplacementGrid:
        """Any map moving -> fixed, sampled over a moving image of `width` x `height` px."""
        nx, ny = max(2, int(np.ceil(width / step_px)) + 1), max(2, int(np.ceil(height / step_px)) + 1)
        step = (width / (nx - 1), height / (ny - 1))
        nodes = lattice(step[0] * np.arange(nx), step[1] * np.arange(ny))
        target = transform(nodes.reshape(-1, 2)).reshape(nodes.shape)
        return DisplacementGrid((0.0, 0.0), step, np.where(np.isfinite(target).all(-1, keepdims=True), target, np.nan))

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "origin_xy": list(self.origin_xy),
            "step_xy": list(self.step_xy),
            # JSON has no NaN.
            "target_xy": np.where(np.isfinite(self.target_xy), self.target_xy.astype(object), np.array(None)).tolist(),
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DisplacementGrid:
        return DisplacementGrid(tuple(data["origin_xy"]), tuple(data["step_xy"]), np.array(data["target_xy"], float))


@dataclass(frozen=True, eq=False)
class Inverse:
    """A bent map read backwards: by quasi-Newton steps from its affine part and, where these do not converge, by
    Newton's from the nearest known point."""

    inverse: ThinPlateSpline | DisplacementGrid
    moving_xy: AnyArray
    """(N, 2) px: points whose image is known."""
    fixed_xy: AnyArray
    """(N, 2) px: where they land; NaN for those that do not."""
    matrix: None = field(default=None, init=False)
    tolerance_px: float = 1e-4
    max_steps: int = 50

    @property
    def kind(self) -> str:
        return self.inverse.kind

    @cached_property
    def _known(self) -> tuple[AnyArray, AnyArray]:
        """Those that land; LAPACK's least squares may not come to an end on numbers that are not finite."""
        lands = np.isfinite(self.fixed_xy).all(axis=1)
        return self.moving_xy[lands], self.fixed_xy[lands]

    @cached_property
    def _affine(self) -> AnyArray:
        moving_xy, fixed_xy = self._known
        return nearest_affine(fixed_xy, moving_xy)

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self._known[1])

    def __call__(self, xy: AnyArray) -> AnyArray:
        """NaN where the steps do not converge (the map folds there, or nothing lands there)."""
        xy = np.asarray(xy, dtype=np.float64)
        target = xy.reshape(-1, 2)
        linear = self._affine[:2, :2].T
        guess = apply_affine(self._affine, target)
        for _ in range(self.max_steps):
            miss = target - self.inverse(guess)
            if not (np.abs(miss) > self.tolerance_px).any():
                break
            guess = guess + miss @ linear
        lost = ~self._hits(target, guess) & np.isfinite(target).all(axis=1)
        if lost.any():
            guess[lost] = self._newton(target[lost])
        found: np.ndarray = np.where(self._hits(target, guess)[:, None], guess, np.nan)
        return found.reshape(xy.shape)

    def _hits(self, target: AnyArray, guess: AnyArray) -> AnyArray:
        return np.asarray((np.abs(target - self.inverse(guess)) <= 100 * self.tolerance_px).all(axis=1))

    def _newton(self, target: AnyArray) -> AnyArray:
        """(N, 2) by the map's own slope, from the point that lands nearest."""
        nearest = self._tree.query(target)[1]
        has_one = nearest < len(self._known[0])  # not where nothing lands, or too far away for a float
        guess = np.full(target.shape, np.nan)
        guess[has_one] = self._known[0][nearest[has_one]]
        for _ in range(self.max_steps):
            miss = target - self.inverse(guess)
            if not (np.abs(miss) > self.tolerance_px).any():
                break
            slope = np.stack([self.inverse(guess + axis) - self.inverse(guess - axis) for axis in np.eye(2)], -1) / 2
            steep = np.isfinite(slope).all(axis=(1, 2)) & (np.abs(np.linalg.det(np.nan_to_num(slope))) > 1e-9)
            guess[steep] += np.linalg.solve(slope[steep], miss[steep, :, None])[..., 0]
            if not steep.any():
                break
        return guess

    def as_dict(self) -> dict[str, Any]:
        raise TypeError("write the forward transform and ask it for its inverse")
