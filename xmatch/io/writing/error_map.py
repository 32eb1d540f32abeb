"""The expected error as a raster: a GeoTIFF or OME-TIFF that lies where the fixed image lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xmatch.coords import Floats, pixel_centres
from xmatch.io.rasters.source import BandDetails
from xmatch.io.writing.cog_and_ome import write_cog, write_ome_tiff
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.pyramid import Block
from xmatch.raster import Grid
from xmatch.result import ErrorMap

MOST_PX = 1024
"""Longer side of the raster at most: an error is known on a dozen cells, which needs no more. Not tuned."""
TAGS = {
    "XMATCH_CONTENT": "expected error",
    "XMATCH_MEANING": "nine in ten places lie within so much of their true place",
}


def write_error_map(
    path: str | os.PathLike, found: ErrorMap | None, fixed: Grid, *, final: str | os.PathLike, overwrite: bool = False
) -> tuple[str, ...]:
    """One float32 band, ce90_px, and a second one in ground units, ce90_m or ce90_um, where these are known.

    Linear between the centres of cells; NaN where the images do not overlap. The grid is the fixed image's, every k-th
    px of it where it is large.

    Args:
        found: None where nothing is known; then all is NaN.
        fixed: the grid of the fixed image.
        final: the name that it will have: an OME-TIFF where it ends in .ome.tif, else a Cloud-Optimised GeoTIFF.

    Returns:
        What the user should know of it.

    Raises:
        OutputError: see `atomic_write`.
    """
    nothing = ErrorMap((0.0, 0.0), (1.0, 1.0), np.full((1, 1), np.nan), np.zeros((1, 1), bool), np.zeros((1, 1)))
    notes: tuple[str, ...] = (
        () if found else ("--error-map is empty: nothing is known of the error of a map that is not trusted",)
    )
    found = found or nothing
    step = -(-max(fixed.width, fixed.height) // MOST_PX)
    grid = reduced(fixed, step)
    factors = {"px": 1.0}
    if found.ground_per_px is not None and found.ground_unit is not None:
        factors[found.ground_unit] = found.ground_per_px
    layout = RasterLayout(
        grid,
        np.dtype(np.float32),
        tuple(f"ce90_{unit}" for unit in factors),
        nodata=float("nan"),
        tags=TAGS,
        details=tuple(BandDetails(number, unit=unit) for number, unit in enumerate(factors, 1)),
        gcps=grid.georef.gcps if grid.georef else (),
    )
    is_ome = str(final).lower().endswith((".ome.tif", ".ome.tiff"))
    write = write_ome_tiff if is_ome else write_cog
    write(path, layout, _blocks(found, grid, step, tuple(factors.values())), overwrite=overwrite)
    if step > 1:
        notes += (f"--error-map has a px for every {step} x {step} px of the fixed image",)
    return notes


def reduced(grid: Grid, step: int) -> Grid:
    """A grid of px that are `step` times as long, from the same corner; the last ones may reach over the image."""
    if step == 1:
        return grid
    georef = grid.georef
    if georef is not None:
        a, b, c, d, e, f = georef.affine
        gcps = tuple((x / step, y / step, east, north) for x, y, east, north in georef.gcps)
        georef = replace(georef, affine=(a * step, b * step, c, d * step, e * step, f), gcps=gcps)
    spacing = grid.spacing_um and (grid.spacing_um[0] * step, grid.spacing_um[1] * step)
    resolution = grid.resolution and (grid.resolution[0] / step, grid.resolution[1] / step, grid.resolution[2])
    width, height = -(-grid.width // step), -(-grid.height // step)
    return replace(grid, width=width, height=height, georef=georef, spacing_um=spacing, resolution=resolution)


def interpolated(found: ErrorMap, fixed_xy: Floats) -> Floats:
    """(N,) `ce90_px` at positions (N, 2), linear between the centres of cells that have one; NaN where the position's
    own cell has none."""
    rows, columns = found.ce90_px.shape
    at = np.clip((fixed_xy - found.origin_xy) / found.cell_px - 0.5, 0, (columns - 1, rows - 1))
    first = at.astype(int)
    share = at - first
    total, weight = np.zeros(len(fixed_xy)), np.zeros(len(fixed_xy))
    for right in (0, 1):
        for below in (0, 1):
            column, row = np.minimum(first + (right, below), (columns - 1, rows - 1)).T
            value = found.ce90_px[row, column]
            part = np.abs(1 - right - share[:, 0]) * np.abs(1 - below - share[:, 1]) * np.isfinite(value)
            total += part * np.nan_to_num(value)
            weight += part
    own = np.isfinite(found.at(fixed_xy))
    values: Floats = np.where(own, total / np.where(own, weight, 1.0), np.nan)
    return values


def _blocks(found: ErrorMap, grid: Grid, step: int, factors: tuple[float, ...]) -> Iterator[Block]:
    """The raster as one: it is small."""
    centres = step * pixel_centres(grid.width, grid.height).reshape(-1, 2)
    ce90_px = interpolated(found, centres).reshape(grid.height, grid.width)
    bands = np.stack([factor * ce90_px for factor in factors]).astype(np.float32)
    yield Block(0, 0, bands, np.isfinite(ce90_px)[None])
