"""From a moving file and a transform to a registered file: resample, stage, write, read back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xmatch.geometry import Transform
from xmatch.io.rasters.labels import holds_labels
from xmatch.io.rasters.source import Source
from xmatch.io.writing.atomic import check_target
from xmatch.io.writing.cog_and_ome import write_cog, write_ome_tiff
from xmatch.io.writing.halving import levels_in_any_order, pyramid_sizes
from xmatch.io.writing.layout import RasterLayout, layout_of
from xmatch.io.writing.pyramid import TILE_PX, Written
from xmatch.raster import Grid
from xmatch.resampling.resample import Block, resample, resolve_resampling

PATCH_LEVELS = 3
"""Sides of patches, tiles: two to this power. Not tuned."""


def write_registered(
    path: str | os.PathLike,
    moving: Source,
    transform: Transform,
    grid: Grid,
    *,
    resampling: str = "auto",
    overwrite: bool = False,
    threads: int = 1,
    max_memory_bytes: int = 2 << 30,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Write the moving image on `grid`: its dtype, nodata value, band names, colours and tags, the grid's place.

    The file is a COG, or an OME-TIFF when the grid has no georeferencing and either image is a medical one.

    Args:
        path: the file to write.
        moving: the open moving file.
        transform: moving px -> px of the grid.
        grid: `Grid.of(fixed.header)`, or what `moving_grid` says.
        resampling: one of `xmatch.resampling.resample.RESAMPLINGS`.
        overwrite: replace an existing file.
        threads: blocks resampled, and tiles compressed, at a time.
        max_memory_bytes: bound on the memory of resampling.
        progress: called with "resample" and the share of pixels done.

    Returns:
        JSON-ready facts: `format`, `width`, `height`, `bands`, `dtype`, `nodata`, `resampling`, `clipped` (values cut
        to the dtype's range), `valid_fraction` (share of output pixels that show the moving image in any band), and
        `notes` (what the user should know).

    Raises:
        OutputError: the file cannot be written, or does not read back as written.
        UsageError: the resampling does not suit the values.
        InputError, ResourceError: from reading `moving`.
    """
    kernel = resolve_resampling(resampling, moving)
    medical = grid.georef is None and (moving.header.medical or grid.medical)
    layout = layout_of(moving.header, grid, averaged=kernel != "nearest")
    check_target(path, overwrite, [moving.header.path], need_bytes=2 * _compressed_nbytes(moving, layout))
    blocks = resample(
        moving,
        transform,
        grid,
        resampling=kernel,
        threads=threads,
        max_memory_bytes=max_memory_bytes,
        patch_px=_patch_px(moving, grid),
    )
    write = write_ome_tiff if medical else write_cog
    written = write(path, layout, _counted(blocks, grid, progress), overwrite=overwrite, threads=threads)
    return {
        "format": "OME-TIFF" if medical else "COG",
        "width": grid.width,
        "height": grid.height,
        "bands": list(layout.bands),
        "dtype": layout.dtype.name,
        "nodata": None if layout.nodata is None or np.isnan(layout.nodata) else layout.nodata,
        "resampling": kernel,
        "clipped": written.clipped,
        "notes": (*_notes_on_labels(moving, resampling, kernel), *_notes(written)),
        "valid_fraction": written.valid_px / (grid.width * grid.height),
    }


def _compressed_nbytes(moving: Source, layout: RasterLayout) -> int:
    """About what the result takes on the disk, and the tiles beside it once more: as much a pixel as a moving file
    without loss, else uncompressed. A disk that fills all the same stops the writing, and nothing stays."""
    header = moving.header
    if not header.is_lossless or not os.path.isfile(header.path):
        return layout.nbytes
    decoded = header.width * header.height * len(header.bands) * np.dtype(header.dtype).itemsize
    return int(layout.nbytes * min(1.0, os.path.getsize(header.path) / decoded))


def _patch_px(moving: Source, grid: Grid) -> int:
    """By patches, few tiles of the file and of coarser levels are held at a time, however wide the image is; strips are
    as wide as the image, and coarser levels of odd sides want row after row."""
    if not moving.header.in_tiles:
        return TILE_PX
    return TILE_PX << min(PATCH_LEVELS, levels_in_any_order(pyramid_sizes(grid.width, grid.height, TILE_PX)))


def _notes_on_labels(moving: Source, resampling: str, kernel: str) -> tuple[str, ...]:
    if resampling == "auto":
        is_number = moving.header.palette is None and np.dtype(moving.header.dtype).kind in "iu"
        told = "its values look like labels and are taken as they are: --resampling cubic would average them"
        return (told,) if kernel == "nearest" and is_number else ()
    if kernel == "nearest" or not holds_labels(moving):
        return ()
    return (f"its values look like labels, and {kernel} makes new ones of them: --resampling nearest keeps them",)


def _notes(written: Written) -> tuple[str, ...]:
    notes = []
    if written.clipped:
        notes.append(f"{written.clipped} pixels were clipped to the data type")
    if written.unmarked:
        notes.append(
            f"{written.unmarked} values are 0 where their band holds no data and another one does: without a nodata "
            "value one mask speaks for all bands (--moving-nodata declares one)"
        )
    return tuple(notes)


def _counted(blocks: Iterator[Block], grid: Grid, progress: Callable[[str, float], None] | None) -> Iterator[Block]:
    done, total = 0, grid.width * grid.height
    for block in blocks:
        yield block
        done += block.valid[0].size
        if progress:
            progress("resample", done / total)
