"""Where each pixel of an output grid comes from: the inverse of a transform, evaluated tile by tile."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xmatch.coords import CENTRE, pixel_centres
from xmatch.geometry import Linear, Transform
from xmatch.geometry.linear import HORIZON_W

TILE_PX = 512
"""Maps are evaluated in tiles of this size whatever the blocks of a run are, so that these never show in a result.
Arrays of this size stay with the process; larger ones are given back to the system and fetched anew each time, which
doubled the run time."""
TOLERANCE_PX = 0.02
"""Moving px that interpolation between the nodes of a bent map may be off; where it is more, no node is used."""
_CELL_PX = 32


class BackwardMap:
    """Positions in the moving image of the pixel centres of a grid.

    A projective map is evaluated at every pixel. A bent one, whose inverse is iterative and dear, is evaluated at
    nodes 16 px apart and taken as bilinear in between; each 32 px cell whose nodes show that this is not good
    enough (`TOLERANCE_PX`) is evaluated at every pixel.

    Args:
        transform: moving px -> px of the grid.
        moving_size: (width, height) px of the moving image; cells that miss it are not refined.
        tiles_kept: tiles held in memory, 4 MiB each.
    """

    def __init__(self, transform: Transform, moving_size: tuple[int, int], tiles_kept: int = 4) -> None:
        self._inverse = transform.inverse
        self._is_bent = transform.matrix is None
        self._moving_size = moving_size
        self._tile = lru_cache(tiles_kept)(self._evaluate)

    def __call__(self, x0: int, y0: int, width: int, height: int) -> np.ndarray:
        """(2, height, width) moving px, x and y, of the centres of a block within one tile; NaN where undefined."""
        tile = self._tile(x0 // TILE_PX, y0 // TILE_PX)
        x, y = x0 % TILE_PX, y0 % TILE_PX
        return tile[:, y : y + height, x : x + width]

    def at(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) moving px of single positions of the grid, exactly."""
        return self._inverse(xy)

    def _evaluate(self, column: int, row: int) -> np.ndarray:
        x0, y0 = column * TILE_PX, row * TILE_PX
        if isinstance(self._inverse, Linear):
            return _projected(self._inverse, x0, y0)
        centres = pixel_centres(TILE_PX, TILE_PX, x0, y0)
        if not self._is_bent:
            return _planes(self._inverse(centres))
        half = _CELL_PX // 2
        lattice = np.arange(0, TILE_PX + 1, half)
        nodes_xy = np.stack(np.meshgrid(lattice + x0, lattice + y0), axis=-1).astype(np.float64)
        nodes = self._inverse(nodes_xy)
        positions = _between(nodes, half)
        for cell_y, cell_x in np.argwhere(self._needs_refining(nodes)):
            y, x = cell_y * _CELL_PX, cell_x * _CELL_PX
            cell = slice(y, y + _CELL_PX), slice(x, x + _CELL_PX)
            positions[cell] = self._inverse(centres[cell])
        return _planes(positions)

    def _needs_refining(self, nodes: np.ndarray) -> np.ndarray:
        """(cells, cells) bool: the nodes half way along a cell are not where a bilinear cell would have them.

        The error falls with the square of the step, so what is left at the half step is well under the tolerance.
        """
        guess = _lerp(_lerp(nodes[::2, ::2], (0.0, 0.5), 0), (0.0, 0.5), 1)
        miss = np.abs(guess - nodes[: len(guess), : len(guess)]).max(axis=-1)
        miss = np.where(np.isnan(miss), np.inf, miss)
        cells = len(nodes) // 2
        worst = miss[: 2 * cells, : 2 * cells].reshape(cells, 2, cells, 2).max(axis=(1, 3))
        corners = np.stack([nodes[j : j + 2 * cells : 2, i : i + 2 * cells : 2] for j in (0, 2) for i in (0, 2)])
        low, high = np.fmin.reduce(corners), np.fmax.reduce(corners)
        margin = (high - low).max(axis=-1, keepdims=True) + 2  # a bent cell may bulge out of its corners
        touches = ((high + margin >= 0) & (low - margin <= self._moving_size)).all(axis=-1)  # NaN: not mapped at all
        return (worst > TOLERANCE_PX) & touches


def _projected(inverse: Linear, x0: int, y0: int) -> np.ndarray:
    """A tile of a map that a matrix says, row by column: ten times as fast as position by position."""
    x, y = x0 + CENTRE + np.arange(TILE_PX), y0 + CENTRE + np.arange(TILE_PX)[:, None]
    (a, b, c), (d, e, f), (g, h, i) = inverse.matrix
    planes = np.empty((2, TILE_PX, TILE_PX))
    np.add(a * x, b * y + c, out=planes[0])
    np.add(d * x, e * y + f, out=planes[1])
    if inverse.kind == "homography":
        w = inverse.w_sign * (g * x + (h * y + i))
        w = np.where(w > HORIZON_W, w, np.nan)
        planes *= inverse.w_sign
        planes /= w
    return planes


def _planes(xy: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(xy, -1, 0))


def _between(nodes: np.ndarray, step: int) -> np.ndarray:
    """Bilinear positions at the pixel centres between nodes `step` px apart."""
    shares = (np.arange(step) + CENTRE) / step
    return _lerp(_lerp(nodes, shares, 0), shares, 1)


def _lerp(values: np.ndarray, shares, axis: int) -> np.ndarray:
    """Between each two neighbours along `axis`, their means weighted by `shares` of the second one."""
    values = np.moveaxis(values, axis, 0)
    share = np.reshape(shares, (1, -1) + (1,) * (values.ndim - 1))
    between = values[:-1, None] * (1 - share) + values[1:, None] * share
    return np.moveaxis(between.reshape(-1, *values.shape[1:]), 0, axis)
