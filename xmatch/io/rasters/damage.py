"""One level of an image as pieces that are decoded, or lost, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from xmatch.errors import InputError
from xmatch.io.rasters.area_means import Box

Found = tuple[np.ndarray, np.ndarray] | None
"""Pixels (C, h, w) and validity (C or 1, h, w), or None where they are lost."""


class Level(Protocol):
    """One resolution of an image."""

    width: int
    height: int
    block: tuple[int, int]
    """(width, height) of what the file stores as a piece: the least that can be decoded, and lost."""
    sequential: bool
    """True when a lost block takes all later ones with it (PNG, JPEG)."""

    def load(self, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (C, h, w) of a box and their validity, (C, h, w) or (1, h, w) where all bands share it; InputError
        when a block cannot be decoded."""
        ...


def salvage(level: Level, box: Box, load: Callable[[Box], Found]) -> Iterable[tuple[Box, Found]]:
    """Parts that together fill the box, each with its pixels, or None where they are lost."""
    waiting, spoilt = [box], False
    while waiting:
        part = waiting.pop()
        found = None
        if not (spoilt and level.sequential):
            try:
                found = load(part)
            except InputError:
                halves = _halves(part, level.block)
                if halves:
                    waiting += halves[::-1]
                    continue
                spoilt = True
        yield part, found


def located(error: InputError, level: Level, index: int, box: Box, load: Callable[[Box], Found]) -> InputError:
    """The same error, naming the first block that cannot be decoded."""
    while halves := _halves(box, level.block):
        try:
            load(halves[0])
            box = halves[1]
        except InputError as narrower:
            box, error = halves[0], narrower
    block = f"block {box[0] // level.block[0]} across, {box[1] // level.block[1]} down ({extent(box)})"
    where = f" of overview {index}" if index else ""
    return InputError(
        f"damaged: {block}{where} cannot be decoded: {error.message}",
        hint="--allow-damaged leaves damaged blocks out",
        path=error.path,
    )


def extent(box: Box) -> str:
    return f"x {box[0]}-{box[2]}, y {box[1]}-{box[3]}"


def _halves(box: Box, block: tuple[int, int]) -> tuple[Box, Box] | None:
    """Cut a box in two on the block grid, or None when it lies in one block."""
    x0, y0, x1, y1 = box
    columns, rows = (x1 - 1) // block[0] - x0 // block[0], (y1 - 1) // block[1] - y0 // block[1]
    if rows == columns == 0:
        return None
    if rows >= columns:
        cut = (y0 // block[1] + (rows + 1) // 2) * block[1]
        return (x0, y0, x1, cut), (x0, cut, x1, y1)
    cut = (x0 // block[0] + (columns + 1) // 2) * block[0]
    return (x0, y0, cut, y1), (cut, y0, x1, y1)
