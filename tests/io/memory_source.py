"""An image in memory that behaves as an open file does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.io.source import Header
from xmatch.raster import Raster


class MemorySource:
    """A `Source` over arrays; reduced reads average the valid pixels, as files do."""

    def __init__(self, pixels: np.ndarray, valid: np.ndarray | None = None, **header) -> None:
        pixels = np.asarray(pixels)
        self.pixels = pixels if pixels.ndim == 3 else pixels[None]
        finite = np.isfinite(self.pixels).all(axis=0)
        self.valid = finite if valid is None else valid & finite
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
        pixels, valid = self.pixels[(slice(None), *box)], self.valid[box]
        if bands is not None:
            pixels = pixels[list(bands)]
        if size not in (None, (width, height)):
            pixels, valid = _averaged(pixels, valid, size)
        return Raster(pixels.copy(), valid.copy(), self.header.georef, self.header.spacing_um, self.header.bands)

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None: ...


def _averaged(pixels: np.ndarray, valid: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(pixels.shape[1]) * size[1] // pixels.shape[1]
    columns = np.arange(pixels.shape[2]) * size[0] // pixels.shape[2]

    def total(plane):
        down = np.zeros((size[1], size[0]))
        np.add.at(down, (rows[:, None], columns[None]), plane)
        return down

    count, weight = total(np.ones(valid.shape)), total(valid)
    means = np.stack([total(np.where(valid, plane, 0)) / np.maximum(weight, 1) for plane in pixels])
    if pixels.dtype.kind in "iu":
        means = np.rint(means)
    return means.astype(pixels.dtype), weight >= count / 2
