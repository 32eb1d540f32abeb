"""The part of an image that holds content only: published pairs without their black border."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmatch.errors import InputError
from xmatch.evaluation.border import black_border, write_masked
from xmatch.io import open_source
from xmatch.io.rasters.source import Window

SEARCHED_SIDE = 512
"""Larger masks are reduced first; a reduced pixel is content only where all of it is, so the result stays inside."""
LEAST_PX = 16
"""A narrower rest shows nothing."""


def largest_rectangle(mask: np.ndarray) -> Window:
    """(x0, y0, width, height) of the largest upright rectangle of true pixels in (H, W) bool, all 0 without any.

    Row by row, the heights of the columns of true pixels above are a histogram, whose largest rectangle a stack finds
    in one pass (a well-known exercise; O(H W)). For large masks it is exact up to a pixel of the reduced mask.
    """
    step = -(-max(mask.shape) // SEARCHED_SIDE)
    if step > 1:
        height, width = (n // step * step for n in mask.shape)
        blocks = mask[:height, :width].reshape(height // step, step, width // step, step)
        x, y, w, h = largest_rectangle(np.asarray(blocks.all(axis=(1, 3))))
        return step * x, step * y, step * w, step * h
    best, most = (0, 0, 0, 0), 0
    heights = np.zeros(mask.shape[1], dtype=int)
    for y, row in enumerate(mask):
        heights = np.where(row, heights + 1, 0)
        open_bars: list[tuple[int, int]] = []
        for x, height in enumerate([*heights.tolist(), 0]):
            left = x
            while open_bars and open_bars[-1][1] >= height:
                left, tall = open_bars.pop()
                if tall * (x - left) > most:
                    best, most = (left, y - tall + 1, x - left, tall), tall * (x - left)
            open_bars.append((left, height))
    return best


def write_cropped(path: Path, moving: str) -> tuple[Path, Window]:
    """The content of `moving` as a file at `path` (GeoTIFF), and which window of it that is.

    Raises:
        InputError: hardly any content is left.
    """
    with open_source(moving) as source:
        raster = source.read()
    x, y, width, height = largest_rectangle(raster.valid & ~black_border(raster.pixels))
    if min(width, height) < LEAST_PX:
        raise InputError(f"only {width} x {height} px are left without the black border", path=moving)
    inside = np.s_[..., y : y + height, x : x + width]
    return write_masked(path, raster.pixels[inside], raster.valid[inside]), (x, y, width, height)
