"""Where a map that bends rests on points, and how it goes on beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xmatch.coords import AnyArray, Floats, Mask


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
        inside = np.ones(xy.shape[:-1], bool)
        for start, side in self._sides:
            inside &= side[0] * (xy[..., 1] - start[1]) - side[1] * (xy[..., 0] - start[0]) >= 0
        distance = np.zeros(xy.shape[:-1])
        beyond = ~inside
        # Most positions lie in the hull: only those beyond it have a distance that is worth computing.
        if beyond.any():
            distance[beyond] = self._to_outline(xy, beyond)
        return distance

    @cached_property
    def _sides(self) -> list[tuple[Floats, Floats]]:
        """(2,) corner where a side of the outline starts, and (2,) from there to the next one."""
        ends = np.roll(self.outline, -1, axis=0)
        return [(start, end - start) for start, end in zip(self.outline, ends, strict=True)]

    def _to_outline(self, xy: AnyArray, chosen: Mask) -> Floats:
        """(K,) px from the positions of (..., 2) that are `chosen` to the nearest side."""
        nearest = np.full(int(chosen.sum()), np.inf)
        for start, side in self._sides:
            off = xy - start
            along = np.clip((off @ side)[chosen] / (side @ side), 0.0, 1.0)
            nearest = np.minimum(nearest, np.linalg.norm(off[chosen] - along[:, None] * side, axis=-1))
        return nearest


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
