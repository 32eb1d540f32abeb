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
from xmatch.io.writing.staging import Block
from xmatch.raster import Georef, Grid

_BLOCK_PX = 1024
_COUNTS = (12, 18, 27)
"""Points along each side; a spline through 27 x 27 is slow already where a program computes it at every pixel."""
_GOOD_PX = 0.1
_PROBES = 400


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
    through them to find where fixed px come from. As few points, from 12 x 12 to 27 x 27, as bring it to 0.1 px."""
    for count in _COUNTS:
        moving_xy, fixed_xy = forward_points(transform, width, height, count)
        error_px = _spline_error(transform, moving_xy, fixed_xy, (width, height))
        if error_px <= _GOOD_PX:
            break
    return moving_xy, fixed_xy, error_px


def is_affine(transform: Transform) -> TypeGuard[Linear]:
    return isinstance(transform, Linear) and transform.kind != "homography"


def _spline_error(transform: Transform, moving_xy: np.ndarray, fixed_xy: np.ndarray, size: tuple[int, int]) -> float:
    from rasterio.control import GroundControlPoint
    from rasterio.transform import GCPTransformer

    probe = np.random.default_rng(0).uniform(0, size, (_PROBES, 2))
    landed = transform(probe)
    seen = np.isfinite(landed).all(axis=1)
    points = [
        GroundControlPoint(row=row, col=column, x=x, y=y)
        for (column, row), (x, y) in zip(moving_xy.tolist(), fixed_xy.tolist(), strict=True)
    ]
    with GCPTransformer(points, tps=True) as gdal:
        rows, columns = gdal.rowcol(landed[seen, 0], landed[seen, 1], op=float)
    return float(np.hypot(*(np.column_stack([columns, rows]) - probe[seen]).T).max(initial=0.0))


def _blocks(moving: Source) -> Iterator[Block]:
    """The moving image as it is."""
    width, height, native = moving.header.width, moving.header.height, moving.header.palette is not None
    dtype = output_dtype(moving.header)
    for y in range(0, height, _BLOCK_PX):
        for x in range(0, width, _BLOCK_PX):
            window = (x, y, min(_BLOCK_PX, width - x), min(_BLOCK_PX, height - y))
            raster = moving.read(window, native=native)
            yield Block(x, y, np.where(raster.masks, raster.pixels, 0).astype(dtype), raster.masks)
