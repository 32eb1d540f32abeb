"""Where a map that bends rests on points, and how it goes on beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xmatch.coords import AnyArray, Floats, Mask

CHUNK = 2048
"""Positions that are measured at a time: what is computed for each side of each of them stays in the cache."""


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
        flat = xy.reshape(-1, 2)
        distance = np.zeros(len(flat))
        for first in range(0, len(flat), CHUNK):
            x, y = flat[first : first + CHUNK].T
            beyond = ~self._encloses(x, y)
            # Most positions lie in the hull: only those beyond it have a distance that is worth computing.
            if beyond.any():
                distance[first : first + CHUNK][beyond] = self._to_outline(x[beyond], y[beyond])
        return distance.reshape(xy.shape[:-1])

    @cached_property
    def _sides(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Each (K, 1): x and y of the corner where a side of the outline starts, and x and y from there to the next."""
        from_start = np.roll(self.outline, -1, axis=0) - self.outline
        start_x, start_y, side_x, side_y = np.hstack([self.outline, from_start]).T[..., None]
        return start_x, start_y, side_x, side_y

    def _encloses(self, x: AnyArray, y: AnyArray) -> Mask:
        """(N,) bool: on the inner side of every side."""
        start_x, start_y, side_x, side_y = self._sides
        return np.asarray((side_x * (y - start_y) - side_y * (x - start_x) >= 0).all(axis=0))

    def _to_outline(self, x: AnyArray, y: AnyArray) -> Floats:
        """(N,) px from positions to the nearest side."""
        start_x, start_y, side_x, side_y = self._sides
        off_x, off_y = x - start_x, y - start_y
        along = np.clip((off_x * side_x + off_y * side_y) / (side_x**2 + side_y**2), 0.0, 1.0)
        nearest: Floats = np.hypot(off_x - along * side_x, off_y - along * side_y).min(axis=0)
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
