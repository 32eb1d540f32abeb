"""Relief as running water leaves it."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra


def carve(
    rng: np.random.Generator, outlet: np.ndarray, steepness: np.ndarray, cell_m: float, coarse_px: int
) -> np.ndarray:
    """(H, W) float32 heights above the outlet, metres: a landscape in balance between uplift and rivers.

    In that balance a stream that drains the area A falls as steepness * A^-0.45 (Flint, Water Resour. Res. 10,
    1974). A random tree of streams gives the first heights; letting water run down them gives the final streams.

    Args:
        outlet: (H, W) bool, where the water leaves.
        steepness: (H, W) slope of a stream that drains one coarse cell, the steepest there is.
        coarse_px: streams are traced on a grid this many times coarser.
    """
    rows, cols = (max(4, n // coarse_px) for n in outlet.shape)
    base = cv2.resize(outlet.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA).ravel() > 0
    base.reshape(rows, cols)[-1] = True
    steep = cv2.resize(steepness.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA).ravel()
    start, end, length = _neighbours(rows, cols)
    cost = length * rng.uniform(0.4, 1.6, rows * cols)[end]
    graph = coo_array((cost, (start, end)), shape=(rows * cols,) * 2).tocsr()
    height, receiver, _ = dijkstra(graph, indices=np.flatnonzero(base), min_only=True, return_predecessors=True)
    spacing = cell_m * coarse_px
    for turn in range(6):
        if turn:
            receiver = _steepest(height, start, end, length)
        receiver = np.where(base, np.arange(rows * cols), receiver)
        height = _profile(height, receiver, base, steep, cols, spacing)
    fine = cv2.resize(height.reshape(rows, cols).astype(np.float32), outlet.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(fine, (0, 0), 0.7 * coarse_px)


def _neighbours(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of the eight-connected grid: from, to, length in cells."""
    index = np.arange(rows * cols).reshape(rows, cols)
    edges = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = index[: rows - dy, max(0, -dx) : cols - max(0, dx)].ravel()
        there = here + dy * cols + dx
        edges += [
            (here, there, np.full(here.size, np.hypot(dx, dy))),
            (there, here, np.full(here.size, np.hypot(dx, dy))),
        ]
    return tuple(np.concatenate(parts) for parts in zip(*edges, strict=True))


def _steepest(height: np.ndarray, start: np.ndarray, end: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The neighbour that each cell drains to."""
    fall = (height[start] - height[end]) / length
    order = np.argsort(fall, kind="stable")
    receiver = np.arange(height.size)
    receiver[start[order]] = end[order]
    return receiver


def _profile(height, receiver, base, steep, cols, spacing) -> np.ndarray:
    """Heights in balance with the streams `receiver` that the present heights order."""
    upstream = np.argsort(height, kind="stable")
    area = np.ones(height.size)
    for cell in upstream[::-1]:
        if not base[cell]:
            area[receiver[cell]] += area[cell]
    cell, goal = np.arange(height.size), receiver
    run = spacing * np.hypot(cell // cols - goal // cols, cell % cols - goal % cols)
    fall = steep * area**-0.45 * run
    balanced = np.zeros(height.size)
    for cell in upstream:
        if not base[cell]:
            balanced[cell] = balanced[receiver[cell]] + fall[cell]
    return balanced
