"""An image in memory that behaves as an open file does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from xmatch.io.rasters.source import Header
from xmatch.raster import Raster, one_mask


class MemorySource:
    """A `Source` over arrays; reduced reads average the valid pixels, as files do. `valid` may be one mask or one a
    band."""

    def __init__(self, pixels: np.ndarray, valid: np.ndarray | None = None, **header) -> None:
        pixels = np.asarray(pixels)
        self.pixels = pixels if pixels.ndim == 3 else pixels[None]
        finite = np.isfinite(self.pixels)
        self.masks = finite if valid is None else finite & valid
        bands = tuple(str(i + 1) for i in range(len(self.pixels)))
        facts = {"path": "memory.tif", "format": "GTiff", "bands": bands, "dtype": self.pixels.dtype.name}
        _, height, width = self.pixels.shape
        self.header = replace(Header(width=width, height=height, **facts), **header)
        self.reads: list[tuple] = []

    def read(self, window=None, size=None, bands=None, native=False) -> Raster:
        x, y, width, height = window or (0, 0, self.header.width, self.header.height)
        assert 0 <= x and 0 <= y and x + width <= self.header.width and y + height <= self.header.height
        assert native or not self.header.palette
        self.reads.append((x, y, width, height))
        box = slice(y, y + height), slice(x, x + width)
        chosen = list(range(len(self.pixels)) if bands is None else bands)
        pixels, masks = (array[(chosen, *box)] for array in (self.pixels, self.masks))
        if size not in (None, (width, height)):
            pixels, masks = map(np.stack, zip(*map(partial(_averaged, size), pixels, masks), strict=True))
        shared = len(one_mask(masks)) == 1
        return Raster(
            pixels.copy(),
            masks.any(axis=0),
            self.header.georef,
            self.header.spacing_um,
            self.header.bands,
            band_valid=None if shared else masks,
        )

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None: ...


def _averaged(size: tuple[int, int], band: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(band.shape[0]) * size[1] // band.shape[0]
    columns = np.arange(band.shape[1]) * size[0] // band.shape[1]

    def total(plane):
        down = np.zeros((size[1], size[0]))
        np.add.at(down, (rows[:, None], columns[None]), plane)
        return down

    count, weight = total(np.ones(valid.shape)), total(valid)
    mean = total(np.where(valid, band, 0)) / np.maximum(weight, 1)
    return (np.rint(mean) if band.dtype.kind in "iu" else mean).astype(band.dtype), weight >= count / 2
