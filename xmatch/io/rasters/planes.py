"""Boxes out of the planes of a tifffile series, decoding only the strips and tiles that they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xmatch.errors import InputError
from xmatch.io.rasters.area_means import Box
from xmatch.io.rasters.guard import decoding
from xmatch.io.rasters.palette import Indexed
from xmatch.io.rasters.values import holds_data
from xmatch.raster import one_mask

_JPEG = {6, 7, 34892, 33007}
_ROW_BYTES = 256 * 1024
"""Bytes of rows that count as one block where pixels are stored plainly."""


class Plane(NamedTuple):
    """Where a band is kept: the page of the series, and the sample of its pixels."""

    page: int
    sample: int


@dataclass(frozen=True)
class Planes:
    """What the levels of one image have in common."""

    bands: tuple[Plane, ...]
    alpha: int | None
    """Sample that holds transparency."""
    palette: Indexed | None
    nodata: float | None
    """Value of pixels without data, in each band."""


def whole(value: Any, what: str, path: str) -> int:
    """A tag's value as the number that it should be; damaged files have texts and lists in such places.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise InputError(f"its {what} is {str(value)[:40]!r}; expected a whole number", path=path)


class PlaneLevel:
    """One resolution of one page of a series.

    Raises:
        InputError: a plane that the series lists is not in this file.
    """

    sequential = False

    def __init__(self, path: str, series: Any, planes: Planes) -> None:
        self._path, self._series, self._planes = path, series, planes
        page = self._keyframe = series.keyframe
        self.width, self.height = page.imagewidth, page.imagelength
        self._last: tuple[Any, np.ndarray | None] = (None, None)
        self._plain = page.is_contiguous and not page.is_tiled
        if page.is_tiled:
            self.block = whole(page.tilewidth, "tile width", path), whole(page.tilelength, "tile length", path)
        elif self._plain:
            self.block = self.width, max(min(_ROW_BYTES // (self.width * page.dtype.itemsize), self.height), 1)
        else:
            self.block = self.width, min(whole(page.rowsperstrip, "number of rows a strip", path), self.height)
        for plane in {plane.page for plane in planes.bands}:
            if self._page(plane) is None:
                raise InputError(
                    f"plane {plane} is kept in another file of the set", hint="join the set into one file", path=path
                )

    def load(self, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        """See `Level.load`."""
        planes = self._planes
        wanted = planes.bands if planes.palette else [planes.bands[b] for b in bands]
        layers, seen = {}, {}
        with decoding(self._path):
            for number in {plane.page for plane in wanted}:
                layers[number], seen[number] = self._decode(number, box)
                if planes.alpha is not None:
                    seen[number] &= layers[number][planes.alpha] != 0
        pixels = np.stack([layers[plane.page][plane.sample] for plane in wanted])
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8)
        pages = [plane.page for plane in wanted] if len(seen) > 1 else list(seen)
        valid = one_mask(np.stack([seen[page] for page in pages])) & holds_data(pixels, [planes.nodata] * len(pixels))
        if planes.palette:
            valid = valid & planes.palette.opaque(pixels[0])
            pixels = pixels if native else planes.palette.shown(pixels[0], bands)
        return pixels, valid

    def _page(self, number: int) -> Any:
        """The series' page; the first one stands for all where ImageJ wrote a single directory for many planes."""
        return self._series[0] if self._series.is_truncated else self._series[number]

    def _decode(self, number: int, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """All samples (S, h, w) of a box of a page, and where the file holds any."""
        page = self._page(number)
        if self._plain and page.is_contiguous:
            return self._read_rows(page, number, box)
        key = self._keyframe
        x0, y0, x1, y1 = box
        separate, _, _, _, samples = key.shaped
        out = np.zeros((separate * samples, y1 - y0, x1 - x0), key.dtype)
        present = np.zeros(out.shape[1:], bool)
        wide, high = self.block
        across, down = -(-self.width // wide), -(-self.height // high)
        extra = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader} if key.compression in _JPEG else {}
        for plane in range(separate):
            for row in range(y0 // high, -(-y1 // high)):
                for column in range(x0 // wide, -(-x1 // wide)):
                    index = (plane * down + row) * across + column
                    piece = self._piece(page, index, extra)
                    if piece is None:
                        continue
                    if piece.ndim != 4 or piece.shape[0] != 1 or piece.shape[3] != samples:
                        message = f"strip or tile {index} decodes to {piece.shape}; expected {samples} samples a pixel"
                        raise InputError(message, path=self._path)
                    left, top = column * wide, row * high
                    a, b = max(left, x0), min(left + piece.shape[2], x1)
                    c, d = max(top, y0), min(top + piece.shape[1], y1)
                    part = np.moveaxis(piece[0, c - top : d - top, a - left : b - left], -1, 0)
                    out[plane * samples : (plane + 1) * samples, c - y0 : d - y0, a - x0 : b - x0] = part
                    present[c - y0 : d - y0, a - x0 : b - x0] = True
        return out, present

    def _piece(self, page: Any, index: int, extra: dict[str, Any]) -> np.ndarray | None:
        """A strip or tile, decoded; the last one is kept, since tiles of a large one follow each other."""
        if self._last[0] != (id(page), index):
            self._last = None, None
            segment = self._segment(page, index)
            self._last = (id(page), index), self._keyframe.decode(segment, index, _fullsize=False, **extra)[0]
        return self._last[1]

    def _segment(self, page: Any, index: int) -> bytes | None:
        """The coded bytes of a strip or tile; None where the file is sparse."""
        if index >= min(len(page.dataoffsets), len(page.databytecounts)):
            raise InputError(f"strip or tile {index} is not listed", path=self._path)
        count = page.databytecounts[index]
        return self._bytes(page.dataoffsets[index], count) if count else None

    def _read_rows(self, page: Any, number: int, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a plane whose pixels lie one after the other, without reading the others."""
        key = self._keyframe
        separate, _, _, _, samples = key.shaped
        dtype = np.dtype(key.dtype).newbyteorder(key.parent.byteorder)
        row_bytes = self.width * samples * dtype.itemsize
        start = whole(page.dataoffsets[0], "offset of a strip", self._path) + (
            number * key.nbytes if self._series.is_truncated else 0
        )
        height = box[3] - box[1]
        layers = []
        for plane in range(separate):
            data = self._bytes(start + (plane * self.height + box[1]) * row_bytes, height * row_bytes)
            rows = np.frombuffer(data, dtype).reshape(height, self.width, samples)
            layers.append(np.moveaxis(rows[:, box[0] : box[2]], -1, 0))
        out = np.concatenate(layers).astype(dtype.newbyteorder("="), copy=False)
        return out, np.ones(out.shape[1:], bool)

    def _bytes(self, offset: int, count: int) -> bytes:
        file = self._keyframe.parent.filehandle
        offset, count = whole(offset, "offset of a strip", self._path), whole(count, "size of a strip", self._path)
        if offset + count > file.size:
            message = f"its data end at byte {offset + count}, the file at byte {file.size}: it is truncated"
            raise InputError(message, path=self._path)
        file.seek(offset)
        return file.read(count)
