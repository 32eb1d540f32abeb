"""Maps that bend: the thin-plate spline and the displacement grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xmatch.coords import AnyArray, Floats, Mask
from xmatch.geometry.inverse import Inverse
from xmatch.geometry.matrices import apply_affine, nearest_affine
from xmatch.geometry.outlines import lattice
from xmatch.geometry.support import Support, fading, held_back

if TYPE_CHECKING:
    from scipy.interpolate import RBFInterpolator

FADE_SHARE = 0.5
"""Beyond its control points a spline goes over into its affine part within about so much of their extent. Of random
fields held in a part, those beyond are met as well as by the spline itself up to here, and better further out; a fifth
of the extent is too short."""

REACH_SHARE = 0.1
"""What few control points hold beyond them, of their extent, at most: there the same fields are met half as well as
between them."""


@dataclass(frozen=True, eq=False)
class ThinPlateSpline:
    """The smoothest map through (or, with smoothing, near) control points (Bookstein, PAMI 11, 1989), which goes over
    into its affine part beyond their hull."""

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
        flat = xy.reshape(-1, 2)
        mapped: np.ndarray = self._spline(flat)
        distance = self._support.distance(flat)
        beyond = distance > 0
        if beyond.any():
            stiff = apply_affine(self._affine, flat[beyond])
            left = fading(distance[beyond], FADE_SHARE * self._support.extent)[:, None]
            mapped[beyond] = stiff + left * (mapped[beyond] - stiff)
        return mapped.reshape(xy.shape)

    def supported(self, xy: AnyArray) -> Mask:
        """(N,) bool: not further beyond the hull of the control points than these lie apart (a tenth of it at most)."""
        reach = min(self._support.gap, REACH_SHARE * self._support.extent)
        return np.asarray(self._support.distance(np.asarray(xy, np.float64)) <= reach)

    @cached_property
    def _support(self) -> Support:
        return Support(self.moving_xy)

    @cached_property
    def _affine(self) -> Floats:
        return nearest_affine(self.moving_xy, self.fixed_xy)

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
    """Target positions on a regular lattice over the moving image, linear in between. Beyond it, what the border is off
    from the nearest affine map stays as it is."""

    origin_xy: tuple[float, float]
    """Position of node (0, 0), moving px."""
    step_xy: tuple[float, float]
    """Distance of nodes, moving px."""
    target_xy: AnyArray
    """(h, w, 2) fixed px of each node, h, w >= 2; NaN where moving shows what fixed cannot, as beyond a horizon."""
    held: Mask | None = None
    """(h, w) bool: nodes that the map is not only continued to; None: all that have a target."""
    kind: str = field(default="grid", init=False)
    matrix: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.target_xy.ndim != 3 or self.target_xy.shape[2] != 2 or min(self.target_xy.shape[:2]) < 2:
            raise ValueError(f"a displacement grid needs (h >= 2, w >= 2, 2) targets; got {self.target_xy.shape}")
        if np.isinf(self.target_xy).any():
            raise ValueError("a target of a displacement grid is infinite")
        if self.held is not None and np.shape(self.held) != self.target_xy.shape[:2]:
            raise ValueError(f"a displacement grid of {self.target_xy.shape} has {np.shape(self.held)} nodes held")
        frame = np.array([self.origin_xy, self.step_xy], float)
        if frame.shape != (2, 2) or not np.isfinite(frame).all() or (frame[1] <= 0).any():
            raise ValueError(f"a displacement grid cannot start at {self.origin_xy} and step by {self.step_xy} px")

    def __call__(self, xy: AnyArray) -> AnyArray:
        xy = np.asarray(xy, dtype=np.float64)
        node = self._node(xy)
        last = np.array(self.target_xy.shape[1::-1]) - 1
        at = held_back(node, last)
        cell = np.clip(np.nan_to_num(np.floor(at)), 0, last - 1).astype(int)
        fx, fy = np.moveaxis((at - cell)[..., None, :], -1, 0)
        ix, iy = cell[..., 0], cell[..., 1]
        top = self.target_xy[iy, ix] * (1 - fx) + self.target_xy[iy, ix + 1] * fx
        bottom = self.target_xy[iy + 1, ix] * (1 - fx) + self.target_xy[iy + 1, ix + 1] * fx
        landed: Floats = top * (1 - fy) + bottom * fy
        beyond = (at != node).any(axis=-1)
        if beyond.any():
            landed[beyond] += (node - at)[beyond] @ self._slope.T
        return landed

    def supported(self, xy: AnyArray) -> Mask:
        """(N,) bool: the nearest node is on the lattice, has a target, and is held."""
        node = np.nan_to_num(np.round(self._node(np.asarray(xy, np.float64))), nan=-1.0, posinf=-1.0)
        last = np.array(self.target_xy.shape[1::-1]) - 1
        on = np.asarray(((node >= 0) & (node <= last)).all(axis=-1))
        ix, iy = np.moveaxis(np.clip(node, 0, last).astype(int), -1, 0)
        known = np.isfinite(self.target_xy[iy, ix]).all(axis=-1)
        return np.asarray(on & known if self.held is None else on & known & self.held[iy, ix])

    def _node(self, xy: AnyArray) -> Floats:
        """Positions counted in nodes."""
        node: Floats = (xy - np.array(self.origin_xy)) / np.array(self.step_xy)
        return node

    @cached_property
    def _slope(self) -> Floats:
        """(2, 2) fixed px a node of the affine map nearest to the targets."""
        height, width = self.target_xy.shape[:2]
        counted = lattice(np.arange(width), np.arange(height)).reshape(-1, 2)
        return nearest_affine(counted, self.target_xy.reshape(-1, 2))[:2, :2]

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
        transform: Callable[[Floats], AnyArray],
        width: float,
        height: float,
        step_px: float,
        supported: Callable[[Floats], Mask] | None = None,
    ) -> DisplacementGrid:
        """Any map moving -> fixed, sampled over a moving image of `width` x `height` px.

        Args:
            supported: which positions it is not only continued to; default all.
        """
        nx, ny = max(2, int(np.ceil(width / step_px)) + 1), max(2, int(np.ceil(height / step_px)) + 1)
        step = (width / (nx - 1), height / (ny - 1))
        nodes = lattice(step[0] * np.arange(nx), step[1] * np.arange(ny))
        target = transform(nodes.reshape(-1, 2)).reshape(nodes.shape)
        held = None if supported is None else supported(nodes.reshape(-1, 2)).reshape(nodes.shape[:2])
        return DisplacementGrid(
            (0.0, 0.0),
            step,
            np.where(np.isfinite(target).all(-1, keepdims=True), target, np.nan),
            None if held is None or held.all() else held,
        )

    def as_dict(self) -> dict[str, Any]:
        held = {} if self.held is None else {"held": self.held.astype(int).tolist()}
        return {
            "kind": self.kind,
            "origin_xy": list(self.origin_xy),
            "step_xy": list(self.step_xy),
            # JSON has no NaN.
            "target_xy": np.where(np.isfinite(self.target_xy), self.target_xy.astype(object), np.array(None)).tolist(),
            **held,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> DisplacementGrid:
        held = data.get("held")
        return DisplacementGrid(
            tuple(data["origin_xy"]),
            tuple(data["step_xy"]),
            np.array(data["target_xy"], float),
            None if held is None else np.array(held, int).astype(bool),
        )
