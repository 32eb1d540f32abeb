"""A map that bends, read backwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xmatch.coords import AnyArray, Mask
from xmatch.geometry.matrices import apply_affine, nearest_affine
from xmatch.geometry.outlines import finite

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


class BentMap(Protocol):
    """What is read backwards: a transform without a matrix."""

    @property
    def kind(self) -> str: ...

    @property
    def matrix(self) -> None: ...

    @property
    def inverse(self) -> Inverse: ...

    def __call__(self, xy: AnyArray) -> AnyArray: ...

    def supported(self, xy: AnyArray) -> Mask: ...

    def as_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Inverse:
    """A bent map read backwards: by quasi-Newton steps from its affine part and, where these do not converge, by
    Newton's from the nearest known point."""

    inverse: BentMap
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
        """Those that land."""
        lands = finite(self.fixed_xy)
        return self.moving_xy[lands], self.fixed_xy[lands]

    @cached_property
    def _affine(self) -> AnyArray:
        return nearest_affine(self.fixed_xy, self.moving_xy)

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self._known[1])

    def __call__(self, xy: AnyArray) -> AnyArray:
        """NaN where the steps do not converge (the map folds there, or nothing lands there)."""
        xy = np.asarray(xy, dtype=np.float64)
        return self.near(xy, apply_affine(self._affine, xy))

    def near(self, xy: AnyArray, start: AnyArray) -> AnyArray:
        """The same by steps from `start`, moving px about where each of `xy` comes from: the nearer, the fewer."""
        target, guess = xy.reshape(-1, 2), start.reshape(-1, 2).copy()
        linear = self._affine[:2, :2].T
        far = np.arange(len(target))  # those that have not arrived
        hits = np.zeros(len(target), bool)
        for _ in range(self.max_steps):
            miss = target[far] - self.inverse(guess[far])
            wide = (np.abs(miss) > self.tolerance_px).any(axis=1)
            hits[far] = ~wide & finite(miss)
            far, miss = far[wide], miss[wide]
            if not len(far):
                break
            guess[far] += miss @ linear
        # Those that have arrived are not asked again: a spline is dear.
        if len(far):
            hits[far] = self._hits(target[far], guess[far])
        lost = ~hits & finite(target)
        if lost.any():
            guess[lost] = self._newton(target[lost])
            hits[lost] = self._hits(target[lost], guess[lost])
        found: np.ndarray = np.where(hits[:, None], guess, np.nan)
        return found.reshape(xy.shape)

    def supported(self, xy: AnyArray) -> Mask:
        """(N,) bool: comes from where the map is."""
        return self.inverse.supported(self(xy))

    def _hits(self, target: AnyArray, guess: AnyArray) -> AnyArray:
        return np.asarray((np.abs(target - self.inverse(guess)) <= 10 * self.tolerance_px).all(axis=1))

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
