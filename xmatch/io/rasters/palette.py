"""Pixels that are numbers of colours: what a matcher sees of them, and what a writer keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Palette = dict[int, tuple[int, int, int, int]]
"""Index -> red, green, blue, alpha, each 0..255."""

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Indexed:
    """A palette, and how its indices are delivered."""

    palette: Palette
    index_dtype: np.dtype
    """Of the indices on disk."""
    white_at_0: int | None = None
    """The index of black, of grey images of more than 8 bits whose 0 is white. A matcher sees them as the grey values
    that they are, turned round; a colour has 8 bits only."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that `shown` delivers."""
        return ("red", "green", "blue") if self.white_at_0 is None else ("1",)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should hear of it."""
        ends = [self.palette[i][:3] for i in sorted(self.palette)]
        if ends == [_BLACK, _WHITE]:
            return ("1-bit image: 0 and 1 taken as black and white",)
        return ("1-bit image: 0 and 1 taken as white and black",) if ends == [_WHITE, _BLACK] else ()

    @property
    def dtype(self) -> np.dtype:
        """Of what `shown` delivers."""
        return np.dtype(np.uint8) if self.white_at_0 is None else self.index_dtype

    def shown(self, index: np.ndarray, bands: Sequence[int]) -> np.ndarray:
        """The wanted of `bands` (C, H, W) for indices (H, W)."""
        if self.white_at_0 is not None:
            return (self.white_at_0 - np.minimum(index, self.white_at_0))[None]
        return np.moveaxis(self._colours[self._row(index)][..., list(bands)], -1, 0)

    def opaque(self, index: np.ndarray) -> np.ndarray:
        """(H, W) bool: where indices (H, W) have a colour that is not fully transparent."""
        return self._colours[self._row(index), 3] > 0

    def _row(self, index: np.ndarray) -> np.ndarray:
        return np.minimum(index.astype(np.intp), len(self._colours) - 1)

    @cached_property
    def _colours(self) -> np.ndarray:
        """(N, 4) uint8; the last row, black and transparent, is that of all indices without an entry."""
        colours = np.zeros((max(self.palette) + 2, 4), np.uint8)
        colours[list(self.palette)] = list(self.palette.values())
        return colours


def indexed(colours: Mapping[int, Sequence[int]], index_dtype: np.dtype) -> Indexed:
    """A colour table in plain ints, from whatever a decoder delivers."""
    table = {int(i): (int(r), int(g), int(b), int(a)) for i, (r, g, b, a) in colours.items()}
    return Indexed(table, np.dtype(index_dtype))


def white_first(bits: int) -> Indexed:
    """Grey images of up to 16 bits that TIFF calls WhiteIsZero, as a palette: stored values and looks are kept."""
    top = 2**bits - 1
    greys = [255 - round(255 * i / top) for i in range(top + 1)]
    index_dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    return Indexed({i: (v, v, v, 255) for i, v in enumerate(greys)}, index_dtype, top if bits > 8 else None)


WHITE_FIRST_NOTE = "0 is white in it; results hold the same values, which programs show with 0 as black"
"""Of what `white_first` is not for: several bands, or floating point."""


def black_and_white() -> Indexed:
    """1-bit images."""
    return indexed({0: (*_BLACK, 255), 1: (*_WHITE, 255)}, np.dtype(np.uint8))
