"""Which of many places lie near others: a handful by all distances at once, many by a tree.

Tie points are a few hundred, and the library with the tree takes longer to load than all that is asked of it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmatch.coords import Floats

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

MOST_DISTANCES = 2**20
"""That are computed at once. A tree takes less time from a tenth of it on, and 0.3 s to load."""


def nearest(at: Floats, among: Floats, count: int) -> tuple[Floats, NDArray[np.intp]]:
    """The nearest of places around each of some positions, nearest first.

    Args:
        at: (N, 2) positions.
        among: (M, 2) places, M >= 1.
        count: how many are wanted, 1 or more.

    Returns:
        (N, K) distances and rows of `among`, K being `count` or M.
    """
    count = min(count, len(among))
    if len(at) * len(among) > MOST_DISTANCES:
        distance, rows = _tree(among).query(at, count)
        return distance.reshape(len(at), count), rows.reshape(len(at), count)
    squared = _squared_distances(at, among)
    rows = np.argpartition(squared, count - 1, axis=1)[:, :count]
    found = np.take_along_axis(squared, rows, axis=1)
    order = np.argsort(found, axis=1, kind="stable")
    return np.sqrt(np.take_along_axis(found, order, axis=1)), np.take_along_axis(rows, order, axis=1)


def count_within(at: Floats, among: Floats, radius: float) -> NDArray[np.intp]:
    """(N,) how many of the places (M, 2) lie within `radius` of each of positions (N, 2)."""
    if len(at) * len(among) > MOST_DISTANCES:
        return np.asarray(_tree(among).query_ball_point(at, radius, return_length=True))
    return np.asarray(np.count_nonzero(_squared_distances(at, among) <= radius**2, axis=1))


def _squared_distances(at: Floats, among: Floats) -> Floats:
    """(N, M)"""
    across, down = (at[:, axis, None] - among[:, axis] for axis in (0, 1))
    squared: Floats = across**2 + down**2
    return squared


def _tree(places: Floats) -> cKDTree:
    from scipy.spatial import cKDTree

    return cKDTree(places)
