"""Where a map that bends rests on points, and how it goes on beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xmatch.coords import AnyArray, Floats


@dataclass(frozen=True, eq=False)
class Support:
    """The convex hull of points that hold a map."""

    points: AnyArray
    """(N, 2) px, N >= 3, not on one line."""

    @cached_property
    def outline(self) -> Floats:
        """(K, 2) corners of the hull, from the x axis towards the y axis."""
        from scipy.spatial import ConvexHull

        return np.asarray(self.points[ConvexHull(self.points).vertices], np.float64)

    @cached_property
    def extent(self) -> float:
        """The longer side of the box around the points."""
        return float(np.ptp(self.points, axis=0).max())

    @cached_property
    def gap(self) -> float:
        """Median distance of a point from its nearest neighbour."""
        from scipy.spatial import cKDTree

        return float(np.median(cKDTree(self.points).query(self.points, 2)[0][:, 1]))

    def distance(self, xy: AnyArray) -> Floats:
        """(...) px from positions (..., 2) to the hull; 0 in it, NaN where a position is no number."""
        # One side of the outline after the other: an array over sides and positions would be large.
        nearest = np.full(xy.shape[:-1], np.inf)
        inside = np.ones(xy.shape[:-1], bool)
        for start, end in zip(self.outline, np.roll(self.outline, -1, axis=0), strict=True):
            side, off = end - start, xy - start
            inside &= side[0] * off[..., 1] - side[1] * off[..., 0] >= 0
            along = np.clip(off @ side / (side @ side), 0.0, 1.0)
            nearest = np.minimum(nearest, np.linalg.norm(off - along[..., None] * side, axis=-1))
        return np.where(inside, 0.0, nearest)


def fading(distance: AnyArray, length: float) -> Floats:
    """How much of a bend is left at a distance from what holds it: 1 with no slope at 0, and 0 far away."""
    share: Floats = np.exp(-0.5 * (distance / length) ** 2)
    return share


def held_back(nodes: AnyArray, last: AnyArray) -> Floats:
    """Positions (..., 2) on a lattice whose nodes count from 0 to `last` (2,): as they are inside, drawn to its border
    outside, smoothly and never more than one cell away from it."""
    inside = np.clip(nodes, 0, last)
    beyond = nodes - inside
    held: Floats = inside - np.sign(beyond) * np.expm1(-np.abs(beyond))
    return held
