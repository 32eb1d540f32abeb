"""Displacement grids: a GeoTIFF on the fixed image's grid that says for each pixel where the moving image shows it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from xmatch.coords import pixel_centres
from xmatch.errors import InputError
from xmatch.geometry import DisplacementGrid, Transform
from xmatch.io.rasters.opening import open_source
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import Source
from xmatch.io.transforms.lattice import TOLERANCE_PX, backward_lattice
from xmatch.io.writing.cog_and_ome import write_cog
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.pyramid import TILE_PX, Block
from xmatch.raster import Grid

TAGS = {
    "XMATCH_CONTENT": "displacement",
    "XMATCH_MEANING": "position in moving minus position in fixed, px, x right, y down",
    "XMATCH_DIRECTION": "fixed_to_moving",
}
_MOST_NODES = 1024


def write_displacement(
    path: str | os.PathLike, transform: Transform, fixed: Source, moving: Source, *, overwrite: bool = False
) -> tuple[str, ...]:
    """Two float32 bands, dx and dy: the pixel of fixed at (x, y) shows what moving has at (x + dx, y + dy).

    NaN where the map is not defined. The fixed image's georeferencing is kept; displacements stay in px.

    Returns:
        What the user should know of it: how far a bent map may be from what was written.

    Raises:
        OutputError: see `atomic_write`.
    """
    grid = Grid.of(fixed.header)
    backward, error_px = transform.inverse, 0.0
    if transform.matrix is None:
        backward, error_px = backward_lattice(transform, grid)
    layout = RasterLayout(grid, np.dtype(np.float32), ("dx", "dy"), nodata=float("nan"), tags=TAGS)
    write_cog(path, layout, _blocks(grid, backward), overwrite=overwrite)
    return (f"--displacement follows the map within {error_px:.2g} px",) if error_px > TOLERANCE_PX else ()


def read_displacement(path: str | os.PathLike) -> Transform:
    """The transform of such a file, moving px -> fixed px. Of large grids every k-th pixel is read, 1024 at most in
    each direction; the map is linear in between.

    Raises:
        InputError: the file cannot be read, or is another kind of raster.
    """
    with open_source(path, ReadOptions(ignore_georef=True)) as source:
        width, height = source.header.width, source.header.height
        if source.header.tags.get("XMATCH_CONTENT") != TAGS["XMATCH_CONTENT"] or len(source.header.bands) != 2:
            raise InputError("not a displacement grid of xmatch", hint="give the .report.json", path=path)
        step = max(1, -(-max(width, height) // _MOST_NODES))
        rows = [source.read((0, y, width, 1)).pixels[:, 0, ::step] for y in range(0, height, step)]
    nodes = pixel_centres(width, height, step=step)
    target = nodes + np.moveaxis(np.stack(rows, axis=1).astype(np.float64), 0, -1)
    if min(target.shape[:2]) < 2 or not np.isfinite(target).all():
        raise InputError("has gaps or fewer than 2 x 2 pixels; give the .report.json instead", path=path)
    return DisplacementGrid(tuple(nodes[0, 0]), (float(step), float(step)), target).inverse


def _blocks(grid: Grid, backward: Transform) -> Iterator[Block]:
    for y in range(0, grid.height, TILE_PX):
        for x in range(0, grid.width, TILE_PX):
            centres = pixel_centres(min(TILE_PX, grid.width - x), min(TILE_PX, grid.height - y), x, y)
            shift = np.moveaxis(backward(centres) - centres, -1, 0).astype(np.float32)
            yield Block(x, y, shift, np.all(np.isfinite(shift), axis=0, keepdims=True))
