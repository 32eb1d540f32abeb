"""A few of many points, spread over the image, the same ones every time."""

from __future__ import annotations

import math

import numpy as np


def spread(xy: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of `rows` (indices into xy (N, 2)), taken in turns from the cells of a lattice, in row order."""
    if len(rows) <= most:
        return rows
    # No more cells than points to take, or the last cells would never have their turn.
    cells = math.isqrt(most)
    points = xy[rows]
    low, high = points.min(axis=0), points.max(axis=0)
    cell = np.minimum((points - low) / np.maximum(high - low, 1e-9) * cells, cells - 1).astype(int) @ (1, cells)
    order = np.argsort(cell, kind="stable")
    # Rank of each point within its own cell: all firsts come before all seconds.
    starts = np.r_[0, np.flatnonzero(np.diff(cell[order])) + 1]
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    turns = order[np.argsort(rank, kind="stable")]
    return np.sort(rows[turns[:most]])
