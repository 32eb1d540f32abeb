"""Image files of any kind that xmatch reads, as small pictures that training pairs are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmatch.errors import InputError, ResourceError

if TYPE_CHECKING:
    from xmatch.raster import Raster
    from xmatch.synth.sources.files import Images

OWN_READER = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
"""Read by xmatch.io: georeferenced, 16-bit and large files; OpenCV reads the others."""
WINDOW_PX = 1024
"""Images longer than twice this fall into windows of about this side: one picture of a whole scene shows little."""
MOST_WINDOWS = 400
"""Per file, spread evenly."""
READ_BYTES = 2**30
SIDES_PER_PAIR = 2.5
"""Longest side that is kept of an image, sides of a pair: cut-outs of 1.5 sides are then mostly not enlarged."""


@dataclass(frozen=True)
class FilePart:
    """A window of a file."""

    path: Path
    window: tuple[int, int, int, int]
    """(x0, y0, width, height), px."""

    @property
    def name(self) -> str:
        return f"{self.path.name}#{','.join(map(str, self.window))}"

    def __str__(self) -> str:
        return f"{self.path}#{','.join(map(str, self.window))}"


def image_files(size_px: int) -> Images:
    """A reader and cache of image files, fine enough for pairs of `size_px`."""
    from xmatch.synth.sources.files import LONGEST_SIDE_PX, Images

    longest_px = max(LONGEST_SIDE_PX, int(SIDES_PER_PAIR * size_px))
    return Images(decode=partial(read_part, longest_px=longest_px), parts=partial(parts_of, longest_px=longest_px))


def parts_of(path: Path, longest_px: int = 512) -> Sequence[Path | FilePart]:
    """The file itself, or its windows if it is large.

    Raises:
        InputError: not a readable image.
    """
    if path.suffix.lower() not in OWN_READER:
        return (path,)
    from xmatch.io import open_source

    try:
        with open_source(path, _options()) as source:
            width, height = source.header.width, source.header.height
    except ResourceError as error:
        raise InputError(error.message, hint=error.hint, path=path) from None  # one bad file need not end a run
    window_px = max(WINDOW_PX, longest_px)
    across, down = max(1, width // window_px), max(1, height // window_px)
    if max(across, down) < 2 or max(width, height) <= 2 * window_px:
        return (path,)
    xs, ys = np.linspace(0, width, across + 1).astype(int), np.linspace(0, height, down + 1).astype(int)
    windows = [
        FilePart(path, (int(x), int(y), int(x2 - x), int(y2 - y)))
        for y, y2 in zip(ys[:-1], ys[1:], strict=True)
        for x, x2 in zip(xs[:-1], xs[1:], strict=True)
    ]
    every = -(-len(windows) // MOST_WINDOWS)
    return windows[::every]


def read_part(part: Path | FilePart, longest_px: int = 512) -> np.ndarray:
    """A file or a window as (H, W) or (H, W, 3) uint8, at most `longest_px` long; the largest part without empty px.

    Raises:
        InputError: not a readable image, or too little in it.
    """
    from xmatch.synth.sources import files

    path = part.path if isinstance(part, FilePart) else part
    if path.suffix.lower() not in OWN_READER:
        return files.decode(path, longest_px)
    try:
        raster = _read(path, part.window if isinstance(part, FilePart) else None, longest_px)
    except ResourceError as error:
        raise InputError(error.message, hint=error.hint, path=path) from None
    y0, x0, y1, x1 = largest_valid(np.all(raster.masks, axis=0))
    return files.prepared(_picture(raster)[y0:y1, x0:x1], path, longest_px)


def _read(path: Path, window: tuple[int, int, int, int] | None, longest_px: int) -> Raster:
    from xmatch.io import open_source

    with open_source(path, _options()) as source:
        window = window or (0, 0, source.header.width, source.header.height)
        factor = min(1.0, longest_px / max(window[2:]))
        width, height = (max(1, round(side * factor)) for side in window[2:])
        return source.read(window, size=(width, height))


def largest_valid(valid: np.ndarray) -> tuple[int, int, int, int]:
    """The largest upright rectangle of true cells in (H, W) bool, on a lattice of 64 cells a side at most.

    Returns:
        (y0, x0, y1, x1), ends exclusive; of size 0 when nothing is valid.
    """
    height, width = valid.shape
    if valid.all():
        return 0, 0, height, width
    cell = -(-max(height, width) // 64)
    rows, columns = height // cell, width // cell
    cells = valid[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    whole = np.all(cells, axis=(1, 3))
    best, found = 0, (0, 0, 0, 0)
    run = np.zeros(columns, int)  # valid cells in each column, upwards from this row
    for row in range(rows):
        run = np.where(whole[row], run + 1, 0)
        for left in range(columns):
            lowest = np.minimum.accumulate(run[left:])
            areas = lowest * np.arange(1, columns - left + 1)
            right = int(areas.argmax())
            if areas[right] > best:
                best = int(areas[right])
                found = (row + 1 - int(lowest[right]), left, row + 1, left + right + 1)
    y0, x0, y1, x1 = (cell * n for n in found)
    return y0, x0, y1, x1


def _picture(raster: Raster) -> np.ndarray:
    from xmatch.registration.views import channel

    pixels = raster.pixels
    if pixels.dtype == np.uint8 and pixels.shape[0] in (1, 3):
        return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    if not raster.valid.any():
        return np.zeros(raster.valid.shape, np.uint8)
    return (channel(raster) * 255).round().astype(np.uint8)


def _options():
    from xmatch.io import ReadOptions

    return ReadOptions(max_memory_bytes=READ_BYTES)
