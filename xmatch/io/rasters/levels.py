"""A `Source` over a pyramid: which level to read, in which tiles, within which memory, and what to do with damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from xmatch.errors import InputError, ResourceError
from xmatch.io.rasters.area_means import AreaMean, Box, Copy, Masks, Nearest, tiles
from xmatch.io.rasters.damage import Level, extent, located, salvage
from xmatch.io.rasters.guard import Fingerprint
from xmatch.io.rasters.source import Header, Window
from xmatch.raster import Raster, one_mask

MAX_LOST_BLOCKS = 10_000
"""Undecodable blocks after which a file is refused even where damage is allowed."""
TILE_BYTES = 32 * 2**20
"""Decoded bytes that one step of a read works on."""


class PyramidSource:
    """The `Source` of every file format: formats differ in their header and levels only.

    Args:
        header: what the file says of itself; `notes` grows when damage is left out.
        levels: full resolution first, then coarser and coarser.
        fingerprint: None for what cannot be watched, such as URLs.
        close: releases what the levels hold.
        max_memory_bytes: bound of what one read may deliver.
        allow_damaged: leave out what cannot be decoded instead of refusing it.
    """

    def __init__(
        self,
        header: Header,
        levels: Sequence[Level],
        *,
        fingerprint: Fingerprint | None,
        close: Callable[[], None],
        max_memory_bytes: int,
        allow_damaged: bool,
    ) -> None:
        self.header = replace(header, in_tiles=levels[0].block[0] < levels[0].width)
        self._lost_note = ""
        self._levels = levels
        self._fingerprint = fingerprint
        self._close = close
        self._max_bytes = max_memory_bytes
        self._allow_damaged = allow_damaged
        self._lost: dict[Box, None] = {}
        dtype = np.dtype(header.dtype)
        for level in levels:
            if min(level.block) < 1:
                raise InputError(f"claims blocks of {level.block[0]} x {level.block[1]} px", path=header.path)
            claim = f"stores its pixels in blocks of {level.block[0]} x {level.block[1]}"
            # Decoded, and once more in part as what is delivered.
            self._afford(claim, 2 * level.block[0] * level.block[1] * dtype.itemsize)

    def __enter__(self) -> PyramidSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._close()

    def read(
        self,
        window: Window | None = None,
        size: tuple[int, int] | None = None,
        bands: Sequence[int] | None = None,
        native: bool = False,
    ) -> Raster:
        """See `Source.read`. The coarsest level that suffices is read, tile by tile.

        Overviews are taken as the file has them, which decides how they treat no-data at edges. Complex data skip
        them: an overview of complex numbers has lost its amplitude.

        Raises:
            ValueError: a window outside the image, or a band that the header does not list.
            InputError: damaged data, or the file changed since it was opened.
            ResourceError: more than `max_memory_bytes` to deliver.
        """
        header = self.header
        native = native and header.palette is not None
        x0, y0, width, height = window = window or (0, 0, header.width, header.height)
        if min(x0, y0) < 0 or min(width, height) < 1 or x0 + width > header.width or y0 + height > header.height:
            raise ValueError(f"window {window} is not inside an image of {header.width} x {header.height} px")
        size = size or (width, height)
        if min(size) < 1:
            raise ValueError(f"cannot deliver {size[0]} x {size[1]} px")
        chosen = tuple(range(len(header.bands))) if bands is None else tuple(bands)
        if not chosen or any(not 0 <= b < len(header.bands) for b in chosen):
            raise ValueError(f"bands {chosen} are not all in 0..{len(header.bands) - 1}")

        dtype = np.dtype(header.index_dtype if native else header.dtype)
        channels = 1 if native else len(chosen)
        # The mean of an area needs sums beside what is delivered: of values, and of weights where masks differ.
        work = 1 + dtype.itemsize + (0 if size == (width, height) or native else 16 if channels > 1 else 8)
        self._afford(f"{channels} x {size[1]} x {size[0]} pixels of {dtype}", channels * size[0] * size[1] * work)

        index = 0 if dtype.kind == "c" else self._level_for(window, size)
        level = self._levels[index]
        sink = self._sink(level, window, size, channels, dtype, native)
        limit_px = max(min(TILE_BYTES, self._max_bytes // 8) // (channels * dtype.itemsize), 1)
        self._check_unchanged()
        for tile in tiles(sink.box, level.block, limit_px):
            sink.add(tile, *self._load(index, tile, chosen, native))
        self._check_unchanged()
        self._tell_losses()
        pixels, masks = sink.result()
        masks = one_mask(masks)
        names = ("index",) if native else tuple(header.bands[b] for b in chosen)
        return Raster(
            pixels,
            np.any(masks, axis=0),
            georef=_moved(header.georef, window, size),
            spacing_um=header.spacing_um
            and (header.spacing_um[0] * width / size[0], header.spacing_um[1] * height / size[1]),
            bands=names,
            name=header.path,
            band_valid=masks if len(masks) > 1 else None,
        )

    def _level_for(self, window: Window, size: tuple[int, int]) -> int:
        """The coarsest level that is exactly as fine as what is wanted, or at least twice as fine: means over areas
        of one to two pixels would shift details by a good part of a pixel."""
        full = self._levels[0]

        def fits(level: Level) -> bool:
            finer = (
                window[2] * level.width / (full.width * size[0]),
                window[3] * level.height / (full.height * size[1]),
            )
            return min(finer) >= 2 - 1e-3 or max(abs(f - 1) for f in finer) < 1e-3

        fitting = [i for i, level in enumerate(self._levels) if fits(level)]
        return min(fitting, key=lambda i: self._levels[i].width, default=0)

    def _sink(
        self, level: Level, window: Window, size: tuple[int, int], channels: int, dtype: np.dtype, native: bool
    ) -> Copy | Nearest | AreaMean:
        x0, y0, width, height = window
        if level is self._levels[0] and size == (width, height):
            return Copy((x0, y0, x0 + width, y0 + height), channels, dtype)
        sx, sy = level.width / self.header.width, level.height / self.header.height
        span = x0 * sx, y0 * sy, (x0 + width) * sx, (y0 + height) * sy
        bounds = level.width, level.height
        if native:
            return Nearest(span, size, channels, dtype, bounds)
        return AreaMean(span, size, channels, dtype, bounds, self._fill(dtype))

    def _fill(self, dtype: np.dtype) -> float:
        """What pixels without any data hold after a mean: the file's nodata where its type can say it."""
        nodata = self.header.nodata
        if self.header.palette is not None or nodata is None:
            return 0.0
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:
            return 0.0
        return nodata

    def _load(self, index: int, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        level = self._levels[index]

        def load(part: Box) -> tuple[np.ndarray, np.ndarray]:
            return level.load(part, bands, native)

        try:
            return load(box)
        except InputError as error:
            self._check_unchanged()
            if not self._allow_damaged:
                raise located(error, level, index, box, load) from error
        channels = 1 if native else len(bands)
        dtype = self.header.index_dtype if native else self.header.dtype
        pixels = np.zeros((channels, box[3] - box[1], box[2] - box[0]), dtype)
        masks = Masks(*pixels.shape[1:])
        for part, found in salvage(level, box, load):
            if found is None:
                self._lose(index, part)
                if len(self._lost) > MAX_LOST_BLOCKS:
                    raise InputError(f"damaged in more than {MAX_LOST_BLOCKS} places", path=self.header.path)
                continue
            rows, columns = slice(part[1] - box[1], part[3] - box[1]), slice(part[0] - box[0], part[2] - box[0])
            pixels[:, rows, columns], valid = found
            masks.put(rows, columns, valid)
        return pixels, masks.layers

    def _lose(self, index: int, box: Box) -> None:
        """Put a damaged area on record, joined with the one just above it."""
        level = self._levels[index]
        sx, sy = self.header.width / level.width, self.header.height / level.height
        x0, y0, x1, y1 = round(box[0] * sx), round(box[1] * sy), round(box[2] * sx), round(box[3] * sy)
        last = next(reversed(self._lost), None)
        if last and (last[0], last[2], last[3]) == (x0, x1, y0):
            del self._lost[last]
            y0 = last[1]
        self._lost[x0, y0, x1, y1] = None

    def _tell_losses(self) -> None:
        """Say in the header's notes what was left out."""
        if self._lost:
            listed = "; ".join(extent(lost) for lost in islice(self._lost, 5))
            more = "; ..." if len(self._lost) > 5 else ""
            note = f"damaged data left out in {len(self._lost)} place(s): {listed}{more}"
            others = (other for other in self.header.notes if other != self._lost_note)
            self.header, self._lost_note = replace(self.header, notes=(*others, note)), note

    def _check_unchanged(self) -> None:
        if self._fingerprint is not None:
            self._fingerprint.check()

    def _afford(self, what: str, needed: int) -> None:
        if needed > self._max_bytes:
            raise ResourceError(
                f"{what} need {_gib(needed)} of memory, {_gib(self._max_bytes)} are allowed",
                hint="raise --max-memory, or read a smaller part",
                path=self.header.path,
            )


def _moved(georef: Any, window: Window, size: tuple[int, int]) -> Any:
    """The georeferencing of a window delivered at another size."""
    if georef is None:
        return None
    a, b, c, d, e, f = georef.affine
    x0, y0, kx, ky = window[0], window[1], window[2] / size[0], window[3] / size[1]
    affine = (a * kx, b * ky, a * x0 + b * y0 + c, d * kx, e * ky, d * x0 + e * y0 + f)
    gcps = tuple(((px - x0) / kx, (py - y0) / ky, x, y) for px, py, x, y in georef.gcps)
    return replace(georef, affine=affine, gcps=gcps)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
