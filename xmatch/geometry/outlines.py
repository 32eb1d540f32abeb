"""Places of an image that stand for all of it: a lattice, its border. Its corners are `xmatch.coords.corners`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xmatch.coords import AnyArray, Floats, Mask, corners


def lattice(xs: ArrayLike, ys: ArrayLike) -> Floats:
    """(rows, columns, 2) positions: every x with every y."""
    return np.stack(np.meshgrid(np.asarray(xs, np.float64), np.asarray(ys, np.float64)), axis=-1)


def nodes_over(width: float, height: float, count: int) -> Floats:
    """(count^2, 2) positions of a regular lattice over an image, its border included, row by row."""
    return lattice(np.linspace(0, width, count), np.linspace(0, height, count)).reshape(-1, 2)


def cell_centres(width: float, height: float, columns: int, rows: int) -> Floats:
    """(rows * columns, 2) centres of the cells into which an image is cut, row by row."""
    xs, ys = ((np.arange(n) + 0.5) / n * side for n, side in ((columns, width), (rows, height)))
    return lattice(xs, ys).reshape(-1, 2)


def border(width: float, height: float, count: int) -> Floats:
    """(4 * count, 2) positions along the border of an image, `count` to a side from corner to corner, clockwise from
    the top left: what a map makes of it bounds what it makes of the image, unless it folds."""
    ring = corners(width, height)
    sides = np.roll(ring, -1, axis=0) - ring
    along = np.linspace(0, 1, count)[:, None]
    return np.concatenate([corner + side * along for corner, side in zip(ring, sides, strict=True)])


def inside(xy: AnyArray, width: float, height: float) -> Mask:
    """(N,) bool: positions (N, 2) in an image, its border included; False where they are not finite."""
    return np.asarray(((xy >= 0) & (xy <= (width, height))).all(axis=1))


def finite(xy: AnyArray) -> Mask:
    """(N,) bool: positions (N, 2) that there are; maps answer NaN where they are not defined."""
    return np.asarray(np.isfinite(xy).all(axis=1))
