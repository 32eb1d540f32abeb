"""Is a finished file what was meant? Every compressed byte of it is compared, and some of its tiles are decoded."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.errors import OutputError
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.pyramid import MASK, TILE_PX, Checksums, Written
from xmatch.io.writing.template import gdal_session

_DECODED = 8
"""Tiles that GDAL decodes; what it does with one it does with all. Not tuned."""


def verify(path: Path, layout: RasterLayout, written: Written, planes: int, masked: bool) -> None:
    """Compare a file with the tiles that went into it.

    tifffile finds the tiles, whose bytes must be those that were compressed: GDAL and disks that are full say nothing
    when a part is missing. GDAL reads what some of them hold, from the first to the last.

    Args:
        planes: 1 when the bands lie in one page, else one page a band.
        masked: whether this file has a mask.

    Raises:
        OutputError: it cannot be read, or holds something else.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            for (level, plane), page in _pages(tiff, planes, len(written.sizes), masked).items():
                _compare(tiff, page, written, level, plane)
    except (tifffile.TiffFileError, struct.error, IndexError, AttributeError) as error:
        raise OutputError(f"does not read back: {error}", path=path) from error
    _decode(path, layout, written, planes, masked)


def _pages(tiff: Any, planes: int, levels: int, masked: bool) -> dict[tuple[int, int], Any]:
    """(level, plane) -> page."""
    if tiff.is_ome:
        first = {(0, plane): tiff.pages[plane] for plane in range(planes)}
        return first | {
            (level, plane): tiff.pages[plane].pages[level - 1] for plane in range(planes) for level in range(1, levels)
        }
    pages = list(tiff.pages)
    kinds = [(0, [page for page in pages if not page.subfiletype & 4])]
    if masked:
        kinds.append((MASK, [page for page in pages if page.subfiletype & 4]))
    return {(level, plane): of_kind[level] for plane, of_kind in kinds for level in range(levels)}


def _compare(tiff: Any, page: Any, written: Written, level: int, plane: int) -> None:
    found = (page.imagewidth, page.imagelength)
    tiles = list(written.tiles(level))
    if found != written.sizes[level] or len(page.dataoffsets) != len(tiles):
        raise OutputError(f"reads back as {found[0]} x {found[1]} px in {len(page.dataoffsets)} tiles")
    for (row, column), offset, nbytes in zip(tiles, page.dataoffsets, page.databytecounts, strict=True):
        segment = written.segments[level, plane, row, column]
        tiff.filehandle.seek(offset)
        if nbytes != segment.nbytes or zlib.crc32(tiff.filehandle.read(nbytes)) != segment.checksum:
            _refuse(row, column, level)


def _decode(path: Path, layout: RasterLayout, written: Written, planes: int, masked: bool) -> None:
    import rasterio

    width, height = written.sizes[0]
    tiles = list(written.checksums)
    chosen = sorted({tiles[k] for k in np.linspace(0, len(tiles) - 1, _DECODED).astype(int)})
    names = [str(path)] if planes == 1 else [f"GTIFF_DIR:{page}:{path}" for page in range(1, planes + 1)]
    with gdal_session(path), contextlib.ExitStack() as stack:
        files = [stack.enter_context(rasterio.open(name)) for name in names]
        for row, column in chosen:
            x, y = column * TILE_PX, row * TILE_PX
            box = rasterio.windows.Window(x, y, min(TILE_PX, width - x), min(TILE_PX, height - y))
            pixels = np.concatenate([file.read(window=box) for file in files]).astype(layout.dtype, copy=False)
            packed = np.packbits(files[0].dataset_mask(window=box) > 0).tobytes() if masked else b""
            found = Checksums(zlib.crc32(np.ascontiguousarray(pixels).data), zlib.crc32(packed))
            if found != written.checksums[row, column]:
                _refuse(row, column, 0)


def _refuse(row: int, column: int, level: int) -> None:
    where = f"tile {column}, {row} of level {level}"
    raise OutputError(f"reads back other pixels than were written, at {where}: is the disk full?")
