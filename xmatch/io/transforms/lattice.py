"""Any transform as positions on a lattice, for files that hold nothing freer than an affine map in closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from xmatch.coords import AnyArray, Floats
from xmatch.geometry import DisplacementGrid, Transform
from xmatch.geometry.inverse import Inverse
from xmatch.geometry.matrices import apply_affine, nearest_affine
from xmatch.raster import Grid

_COARSEST_PX, _FINEST_PX = 64, 4
TOLERANCE_PX = 0.02
"""What a lattice may be off by without a word, moving px."""


def backward_lattice(
    transform: Transform, grid: Grid, tolerance_px: float = TOLERANCE_PX, most_nodes: int = 1 << 21
) -> tuple[DisplacementGrid, float]:
    """Moving positions of a lattice over `grid`, and the greatest error in moving px, seen half way between nodes,
    of interpolating in it.

    The lattice is as coarse as `tolerance_px` allows, but never finer than 4 px nor of more than `most_nodes` nodes.
    """
    step = max(_COARSEST_PX, np.sqrt(grid.width * grid.height / most_nodes))
    inverse = transform.inverse
    back: Callable[[Floats], AnyArray] = inverse
    while True:
        lattice = _without_gaps(DisplacementGrid.sampled(back, grid.width, grid.height, step))
        if isinstance(inverse, Inverse):
            back = partial(_from_lattice, inverse, lattice)
        middles = (lattice.nodes_xy[:-1, :-1] + lattice.nodes_xy[1:, 1:]).reshape(-1, 2) / 2
        if len(middles) > 4096:
            middles = middles[:: len(middles) // 4096]
        miss = np.abs(lattice(middles) - back(middles))
        error = float(np.nanmax(miss, initial=0.0))
        next_step = step / 2
        too_many = grid.width * grid.height / next_step**2 > most_nodes
        if error <= tolerance_px or next_step < _FINEST_PX or too_many:
            return lattice, error
        step = next_step


def _from_lattice(inverse: Inverse, lattice: DisplacementGrid, xy: Floats) -> AnyArray:
    """A map read backwards from where a coarser lattice says: a spline of many points is dear to ask."""
    return inverse.near(xy, lattice(xy))


def forward_points(transform: Transform, width: int, height: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) moving px of a lattice of `count` x `count` over the moving image, border included, and their fixed px;
    without those that have none."""
    xs, ys = np.linspace(0, width, count), np.linspace(0, height, count)
    moving_xy = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    fixed_xy = transform(moving_xy)
    seen = np.isfinite(fixed_xy).all(axis=1)
    return moving_xy[seen], fixed_xy[seen]


def _without_gaps(lattice: DisplacementGrid) -> DisplacementGrid:
    """Nodes that have no position continue the others by an affine map: formats and solvers know no gaps."""
    nodes, target = lattice.nodes_xy.reshape(-1, 2), lattice.target_xy.reshape(-1, 2)
    known = np.asarray(np.isfinite(target).all(axis=1))
    if known.all():
        return lattice
    if known.sum() < 3:
        raise ValueError("hardly any of the fixed image has a place in the moving one")
    continued = apply_affine(nearest_affine(nodes, target), nodes)
    filled = np.where(known[:, None], target, continued).reshape(lattice.target_xy.shape)
    return DisplacementGrid(lattice.origin_xy, lattice.step_xy, filled)
