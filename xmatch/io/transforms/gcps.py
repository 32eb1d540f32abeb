"""Ground control points on a copy of the moving image, and how well GDAL's splines follow a map through such points."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

import numpy as np

from xmatch.errors import OutputError
from xmatch.geometry import Linear, Transform
from xmatch.io.rasters.labels import holds_labels
from xmatch.io.rasters.source import Source
from xmatch.io.transforms.lattice import forward_points
from xmatch.io.writing.cog_and_ome import write_cog
from xmatch.io.writing.layout import layout_of, output_dtype
from xmatch.io.writing.pyramid import TILE_PX, Block
from xmatch.raster import Georef, Grid

_COUNT, _MOST = 12, 1600
"""Points along each side at first, and in all at most: GDAL solves for so many in a second, and a program that computes
the spline at every pixel takes minutes. Not tuned."""
_GOOD_PX = 0.1
_PROBES, _MOST_CELLS = 4000, 48
"""Places at which the spline is compared with the map, and cells each way of which one is added. Not tuned."""


def write_gcps(
    path: str | os.PathLike, transform: Transform, fixed: Source, moving: Source, *, overwrite: bool = False
) -> tuple[str, ...]:
    """A copy of the moving image, its pixels untouched, with ground control points in the fixed image's CRS: 3 x 3
    of them when the transform is affine, which they then say exactly, `spline_points` otherwise.

    Returns:
        What the user should know of it: how far from the map a spline through the points is.

    Raises:
        OutputError: see `atomic_write`; or the fixed image has no CRS.
    """
    georef = check_gcps(path, fixed, moving)
    width, height = moving.header.width, moving.header.height
    notes: tuple[str, ...] = ()
    tags = {}
    if is_affine(transform):
        moving_xy, fixed_xy = forward_points(transform, width, height, 3)
    else:
        moving_xy, fixed_xy, error_px = spline_points(transform, width, height)
        said = f"{len(moving_xy)} points, within {error_px:.2g} px of the map when warped by splines (gdalwarp -tps)"
        notes = (f"--gcps approximates a map that is not affine: {said}; polynomials are further off",)
        tags["XMATCH_GCPS"] = said
    ground = fixed_xy @ georef.matrix[:2, :2].T + georef.matrix[:2, 2]
    gcps = tuple(map(tuple, np.column_stack([moving_xy, ground]).tolist()))
    place = Georef(georef.crs_wkt, georef.affine)
    averaged = moving.header.palette is None and not holds_labels(moving)
    grid = Grid(width, height, place, resolution=moving.header.resolution)
    layout = layout_of(moving.header, grid, averaged, resampled=False)
    write_cog(path, replace(layout, gcps=gcps, tags=layout.tags | tags), _blocks(moving), overwrite=overwrite)
    return notes


def check_gcps(path: str | os.PathLike, fixed: Source, moving: Source) -> Georef:
    """The georeferencing that the points are to have.

    Raises:
        OutputError: the fixed image has no CRS.
    """
    georef = fixed.header.georef
    if georef is None or georef.crs_wkt is None:
        hint = "--assume-crs names it where the file lacks it; --points and --displacement say it in px"
        raise OutputError("ground control points need a fixed image with a CRS", hint=hint, path=path)
    return georef


def spline_points(transform: Transform, width: int, height: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(N, 2) moving px, their fixed px, and the greatest error, in moving px, of the thin-plate spline that GDAL lays
    through them to find where fixed px come from.

    A lattice of 12 x 12 and, until the spline follows the map within 0.1 px or there are 1600, points where it is off.
    """
    moving_xy, fixed_xy = forward_points(transform, width, height, _COUNT)
    rng, cells = np.random.default_rng(0), 2 * _COUNT
    while True:
        # Drawn anew each time: what is told is not measured at the points that it was mended by.
        probe = rng.uniform(0, (width, height), (_PROBES, 2))
        landed = transform(probe)
        seen = np.isfinite(landed).all(axis=1)
        probe, landed = probe[seen], landed[seen]
        off = _spline_misses(moving_xy, fixed_xy, probe, landed)
        error_px = float(off.max(initial=0.0))
        cell = (probe / (width, height) * cells).astype(int) @ (cells, 1)
        worst = np.argsort(-off)
        # The worst of each cell, or points would crowd where it is off most.
        worst = worst[np.sort(np.unique(cell[worst], return_index=True)[1])]
        added = worst[off[worst] > _GOOD_PX / 2][: min(len(moving_xy) // 2, _MOST - len(moving_xy))]
        if error_px <= _GOOD_PX or not len(added):
            return moving_xy, fixed_xy, error_px
        moving_xy, fixed_xy = np.vstack([moving_xy, probe[added]]), np.vstack([fixed_xy, landed[added]])
        cells = min(2 * cells, _MOST_CELLS)


def is_affine(transform: Transform) -> TypeGuard[Linear]:
    return isinstance(transform, Linear) and transform.kind != "homography"


def _spline_misses(moving_xy: np.ndarray, fixed_xy: np.ndarray, probe: np.ndarray, landed: np.ndarray) -> np.ndarray:
    """(M,) moving px from where GDAL's spline through points finds `landed` (M, 2) to where they come from."""
    from rasterio.control import GroundControlPoint
    from rasterio.transform import GCPTransformer

    points = [
        GroundControlPoint(row=row, col=column, x=x, y=y)
        for (column, row), (x, y) in zip(moving_xy.tolist(), fixed_xy.tolist(), strict=True)
    ]
    with GCPTransformer(points, tps=True) as gdal:
        rows, columns = gdal.rowcol(landed[:, 0], landed[:, 1], op=float)
    return np.hypot(np.asarray(columns) - probe[:, 0], np.asarray(rows) - probe[:, 1])


def _blocks(moving: Source) -> Iterator[Block]:
    """The moving image as it is."""
    width, height, native = moving.header.width, moving.header.height, moving.header.palette is not None
    dtype = output_dtype(moving.header)
    for y in range(0, height, TILE_PX):
        for x in range(0, width, TILE_PX):
            window = (x, y, min(TILE_PX, width - x), min(TILE_PX, height - y))
            raster = moving.read(window, native=native)
            yield Block(x, y, np.where(raster.masks, raster.pixels, 0).astype(dtype), raster.masks)
