"""Blocks in, compressed tiles of every level of a pyramid out, while the next blocks are being computed.

The finished formats want their coarse levels first, and know where a tile lies only when all before it are compressed.
So tiles go, compressed, into one file beside the target in the order in which they are done, and are copied from there:
pixels are compressed once, and never lie on the disk as they are.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xmatch.coords import AnyArray, Mask
from xmatch.io.rasters.area_means import Masks
from xmatch.io.writing import atomic
from xmatch.io.writing.halving import Halving, pyramid_sizes
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.marking import marked

TILE_PX = 512
_LEVEL = 6  # of deflate: what GDAL takes
MASK = -1
"""The plane of the mask, beside those of the pixels: 0, 1, ..."""


@dataclass(frozen=True)
class Block:
    """A finished window of an output."""

    x0: int
    y0: int
    pixels: AnyArray
    """(C, h, w) in the layout's dtype."""
    valid: Mask
    """(C, h, w) bool, or (1, h, w) where all bands share their holes."""
    clipped: int = 0
    """Values that lay out of the dtype's range and were cut back to it."""


class Segment(NamedTuple):
    """A compressed tile in the file of tiles."""

    offset: int
    nbytes: int
    checksum: int
    """CRC-32 of its compressed bytes."""


class Checksums(NamedTuple):
    """CRC-32 of the pixels of a tile of the full resolution, (C, h, w), and of its mask, packed."""

    pixels: int
    mask: int


@dataclass
class Written:
    """What went into a file of tiles."""

    sizes: list[tuple[int, int]]
    """(width, height) px of each level, the full resolution first."""
    segments: dict[tuple[int, int, int, int], Segment] = field(default_factory=dict)
    """(level, plane, row, column) of a tile; planes are 0, 1, ... and `MASK`."""
    checksums: dict[tuple[int, int], Checksums] = field(default_factory=dict)
    """Of each tile (row, column) of the full resolution."""
    valid_px: int = 0
    """Pixels that hold data in any band."""
    clipped: int = 0
    unmarked: int = 0
    """Values without data that the file shows as 0: a mask knows no bands."""

    def tiles(self, level: int) -> Iterator[tuple[int, int]]:
        """(row, column) of the tiles of a level, row by row."""
        width, height = self.sizes[level]
        return ((row, column) for row in range(-(-height // TILE_PX)) for column in range(-(-width // TILE_PX)))


def write_tiles(
    path: Path, layout: RasterLayout, blocks: Iterable[Block], *, planes: int, masked: bool, threads: int
) -> Written:
    """Compress blocks that cover the grid once, tiles in the order of rows, and the levels above them, into `path`.

    Args:
        planes: 1: a tile holds all bands, pixel by pixel; else one for each band.
        masked: write a mask too: where any band holds data.
        threads: tiles compressed at a time, beside whatever makes the blocks.
    """
    with path.open("wb") as file, ThreadPoolExecutor(threads) as pool:
        tiles = _Tiles(layout, planes, masked, pool if threads > 1 else None, most_pending=2 * threads)
        for block in blocks:
            atomic.step("block")
            tiles.add(0, block.x0, block.y0, block.pixels, block.valid)
            tiles.written.clipped += block.clipped
            tiles.put(file.write)
        tiles.put(file.write, all_of_them=True)
    return tiles.written


class _Open:
    """A tile of which some is missing."""

    def __init__(self, channels: int, width: int, height: int, dtype: np.dtype) -> None:
        self.pixels, self.masks = np.zeros((channels, height, width), dtype), Masks(height, width)
        self.missing_px = height * width


class _Tiles:
    """Tiles of all levels on their way to the file."""

    def __init__(
        self, layout: RasterLayout, planes: int, masked: bool, pool: ThreadPoolExecutor | None, most_pending: int
    ) -> None:
        self._layout, self._planes, self._masked = layout, planes, masked
        self._pool, self._most_pending = pool, most_pending
        sizes = pyramid_sizes(layout.grid.width, layout.grid.height, TILE_PX)
        self.written = Written(sizes)
        channels = len(layout.bands)
        self._halvings = [Halving(size, TILE_PX, channels, layout.dtype, layout.averaged) for size in sizes[:-1]]
        self._open: dict[tuple[int, int, int], _Open] = {}
        self._pending: deque[tuple[tuple[int, int, int], Future[_Encoded] | _Encoded]] = deque()
        self._offset = 0

    def add(self, level: int, x0: int, y0: int, pixels: AnyArray, valid: Mask) -> None:
        """Take a window of a level; whatever tiles it completes are finished."""
        width, height = self.written.sizes[level]
        x1, y1 = x0 + pixels.shape[2], y0 + pixels.shape[1]
        for top in range(y0 // TILE_PX * TILE_PX, y1, TILE_PX):
            for left in range(x0 // TILE_PX * TILE_PX, x1, TILE_PX):
                right, bottom = min(left + TILE_PX, width), min(top + TILE_PX, height)
                a, b, c, d = max(left, x0), max(top, y0), min(right, x1), min(bottom, y1)
                part = slice(None), slice(b - y0, d - y0), slice(a - x0, c - x0)
                if (a, b, c, d) == (left, top, right, bottom):
                    self._finish(level, left, top, pixels[part], valid[part])
                    continue
                key = (level, top, left)
                if key not in self._open:
                    self._open[key] = _Open(len(pixels), right - left, bottom - top, self._layout.dtype)
                tile = self._open[key]
                rows, columns = slice(b - top, d - top), slice(a - left, c - left)
                tile.pixels[:, rows, columns] = pixels[part]
                tile.masks.put(rows, columns, valid[part])
                tile.missing_px -= (d - b) * (c - a)
                if not tile.missing_px:
                    del self._open[key]
                    self._finish(level, left, top, tile.pixels, tile.masks.layers)

    def put(self, write, all_of_them: bool = False) -> None:
        """Hand finished tiles to `write`, in the order in which they came."""
        while self._pending and (all_of_them or len(self._pending) > self._most_pending):
            (level, row, column), encoded = self._pending.popleft()
            if isinstance(encoded, Future):
                encoded = encoded.result()
            for plane, (data, checksum) in encoded.planes.items():
                write(data)
                self.written.segments[level, plane, row, column] = Segment(self._offset, len(data), checksum)
                self._offset += len(data)
            if level == 0:
                self.written.checksums[row, column] = encoded.checksums

    def _finish(self, level: int, x0: int, y0: int, pixels: AnyArray, valid: Mask) -> None:
        layout = self._layout
        shown = pixels if layout.nodata is None else marked(pixels, valid, layout.nodata)
        if level == 0:
            mask = np.any(valid, axis=0)
            self.written.valid_px += int(np.count_nonzero(mask))
            if self._masked and len(valid) > 1:
                self.written.unmarked += int(np.count_nonzero(mask & ~valid))
        key = (level, y0 // TILE_PX, x0 // TILE_PX)
        arguments = (shown, valid, layout.dtype, self._planes, self._masked)
        self._pending.append((key, self._pool.submit(_encode, *arguments) if self._pool else _encode(*arguments)))
        if level + 1 < len(self.written.sizes):
            self.add(level + 1, *self._halvings[level](x0, y0, pixels, valid))


class _Encoded(NamedTuple):
    planes: dict[int, tuple[bytes, int]]
    """Plane -> compressed bytes and their CRC-32."""
    checksums: Checksums


def _encode(pixels: AnyArray, valid: Mask, dtype: np.dtype, planes: int, masked: bool) -> _Encoded:
    channels, height, width = pixels.shape
    samples = np.zeros((TILE_PX, TILE_PX, channels), dtype)
    samples[:height, :width] = np.moveaxis(pixels, 0, -1)
    parts = [samples] if planes == 1 else [samples[..., band : band + 1] for band in range(channels)]
    encoded = {plane: compressed(part) for plane, part in enumerate(parts)}
    packed = b""
    if masked:
        mask = np.zeros((TILE_PX, TILE_PX), bool)
        mask[:height, :width] = np.any(valid, axis=0)
        packed = np.packbits(mask[:height, :width]).tobytes()
        encoded[MASK] = _deflated(np.packbits(mask, axis=1).tobytes())
    checksums = Checksums(zlib.crc32(np.ascontiguousarray(pixels).data), zlib.crc32(packed))
    return _Encoded(encoded, checksums)


def compressed(samples: AnyArray) -> tuple[bytes, int]:
    """A tile (h, w, S) with TIFF's predictor of its kind of numbers, deflated, and the CRC-32 of that."""
    import imagecodecs

    samples = np.ascontiguousarray(samples)
    predictor = predictor_of(samples.dtype)
    if predictor == 2:
        samples = imagecodecs.delta_encode(samples, axis=-2)
    elif predictor == 3:
        samples = imagecodecs.floatpred_encode(samples, axis=-2)
    return _deflated(samples.tobytes())


def predictor_of(dtype: np.dtype) -> int:
    """TIFF's number: differences of neighbours, those of bytes of equal weight for floats, none for complex numbers."""
    return {"f": 3, "c": 1}.get(dtype.kind, 2)


def _deflated(data: bytes) -> tuple[bytes, int]:
    import imagecodecs

    encoded = bytes(imagecodecs.deflate_encode(data, _LEVEL))
    return encoded, zlib.crc32(encoded)
