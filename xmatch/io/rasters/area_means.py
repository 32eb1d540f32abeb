"""Resampling while reading: tiles come in, an image of the wanted size comes out, only valid pixels count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in px of one pyramid level, ends excluded."""
Span = tuple[float, float, float, float]
"""A Box with fractions."""


class Masks:
    """Validity that comes in by parts: one mask for all bands until a part has one for each."""

    def __init__(self, height: int, width: int) -> None:
        self.layers = np.zeros((1, height, width), bool)

    def put(self, rows: slice, columns: slice, valid: np.ndarray) -> None:
        """Set a part to (C, h, w) or (1, h, w) bool."""
        self.layers = layered(self.layers, len(valid))
        self.layers[:, rows, columns] = valid


def layered(shared: np.ndarray, count: int) -> np.ndarray:
    """(1, H, W) repeated `count` times; as it is when it has layers of its own already."""
    return np.repeat(shared, count, axis=0) if len(shared) < count else shared


class Copy:
    """Collects tiles of a box as they are."""

    def __init__(self, box: Box, channels: int, dtype: np.dtype) -> None:
        self.box = box
        self._pixels = np.empty((channels, box[3] - box[1], box[2] - box[0]), dtype)
        self._valid = Masks(*self._pixels.shape[1:])

    def add(self, tile: Box, pixels: np.ndarray, valid: np.ndarray) -> None:
        rows = slice(tile[1] - self.box[1], tile[3] - self.box[1])
        columns = slice(tile[0] - self.box[0], tile[2] - self.box[0])
        self._pixels[:, rows, columns] = pixels
        self._valid.put(rows, columns, valid)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return self._pixels, self._valid.layers


class Nearest:
    """Takes, for each delivered pixel, the one under its centre: for indices, which have no mean."""

    def __init__(
        self, span: Span, size: tuple[int, int], channels: int, dtype: np.dtype, bounds: tuple[int, int]
    ) -> None:
        self._x = _centres(span[0], span[2], size[0], bounds[0])
        self._y = _centres(span[1], span[3], size[1], bounds[1])
        self.box = int(self._x[0]), int(self._y[0]), int(self._x[-1]) + 1, int(self._y[-1]) + 1
        self._pixels = np.empty((channels, size[1], size[0]), dtype)
        self._valid = Masks(size[1], size[0])

    def add(self, tile: Box, pixels: np.ndarray, valid: np.ndarray) -> None:
        c0, c1 = np.searchsorted(self._x, (tile[0], tile[2]))
        r0, r1 = np.searchsorted(self._y, (tile[1], tile[3]))
        at = np.ix_(self._y[r0:r1] - tile[1], self._x[c0:c1] - tile[0])
        self._pixels[:, r0:r1, c0:c1] = pixels[:, at[0], at[1]]
        self._valid.put(slice(r0, r1), slice(c0, c1), valid[:, at[0], at[1]])

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return self._pixels, self._valid.layers


class AreaMean:
    """Means over the area that each delivered pixel covers, fractions of pixels included.

    A delivered pixel is valid when at least half of its area is, and its value is the mean over that valid part
    (`fill` where there is none), for each band by itself where their masks differ. Complex pixels keep the root mean
    square of the amplitude, as SAR multi-looking does, and the phase of the plain mean: the plain mean alone would
    average speckle away to nothing.
    """

    def __init__(
        self, span: Span, size: tuple[int, int], channels: int, dtype: np.dtype, bounds: tuple[int, int], fill: float
    ) -> None:
        self._x = Cells(span[0], span[2], size[0], bounds[0])
        self._y = Cells(span[1], span[3], size[1], bounds[1])
        self.box = self._x.first, self._y.first, self._x.last, self._y.last
        self._dtype, self._fill = np.dtype(dtype), fill
        self._complex = self._dtype.kind == "c"
        # float32 sums of 8- and 16-bit values are exact enough to round right; wider types need the mantissa.
        narrow = self._dtype.kind in "iub" and self._dtype.itemsize <= 2
        self._work = np.dtype(np.float32 if narrow else np.complex128 if self._complex else np.float64)
        self._real = np.dtype(np.float32 if narrow else np.float64)
        self._total = np.zeros((channels, size[1], size[0]), self._work)
        self._power = np.zeros(self._total.shape, self._real) if self._complex else None
        self._weight = np.zeros((1, *self._total.shape[1:]), self._real)

    def add(self, tile: Box, pixels: np.ndarray, valid: np.ndarray) -> None:
        if not valid.any():
            return
        x, columns = self._x.weights(tile[0], tile[2], self._real)
        y, rows = self._y.weights(tile[1], tile[3], self._real)

        def sums(values: np.ndarray) -> np.ndarray:
            return (x @ (y @ values).T).T

        whole = bool(valid.all())
        self._weight = layered(self._weight, len(valid))
        if whole:
            self._weight[:, rows, columns] += np.outer(y.sum(axis=1), x.sum(axis=1))
        else:
            self._weight[:, rows, columns] += np.stack([sums(mask.astype(self._real)) for mask in valid])
        for i, channel in enumerate(pixels):
            values = (channel if whole else np.where(valid[i % len(valid)], channel, 0)).astype(self._work)
            self._total[i, rows, columns] += sums(values)
            if self._power is not None:
                self._power[i, rows, columns] += sums(values.real**2 + values.imag**2)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        some = self._weight > 1e-6
        weight = np.where(some, self._weight, 1)
        mean = self._total / weight
        if self._power is not None:
            mean = np.sqrt(self._power / weight) * np.exp(1j * np.angle(mean))
        mean[np.broadcast_to(~some, mean.shape)] = self._fill
        if self._dtype.kind in "iu":
            limits = np.iinfo(self._dtype)
            # float(max) of 64-bit types rounds up, past what the type holds.
            top = np.nextafter(float(limits.max), 0) if self._dtype.itemsize == 8 else limits.max
            mean = np.clip(np.rint(mean), limits.min, top)
        return mean.astype(self._dtype), self._weight >= 0.5 - 1e-6


class Cells:
    """`count` equal cells that divide [start, stop] along one axis of an image of `bound` px.

    Nothing is kept for single pixels: an axis may have a hundred million of them.
    """

    def __init__(self, start: float, stop: float, count: int, bound: int) -> None:
        self._start, self._step, self._count = start, (stop - start) / count, count
        self.first, self.last = max(int(np.floor(start)), 0), min(int(np.ceil(stop)), bound)
        """Range of the px that the cells touch."""

    def weights(self, start: int, stop: int, dtype: np.dtype) -> tuple[sparse.csr_matrix, slice]:
        """Shares by which px start..stop make up each cell that they touch, and the range of these cells.

        Returns:
            (cells, stop - start) matrix; over all px, the shares of a cell sum to 1.
        """
        from scipy import sparse  # takes as long to load as all else that opens a file

        # The first and the last px also stand for what the span has beyond the image.
        reach = [-np.inf if start == self.first else start, np.inf if stop == self.last else stop]
        inner = (np.array([start, stop]) - self._start) / self._step
        low = 0 if start == self.first else int(np.clip(np.floor(inner[0]), 0, self._count - 1))
        high = self._count if stop == self.last else int(np.clip(np.ceil(inner[1]), low + 1, self._count))
        edges = np.clip(self._start + self._step * np.arange(low, high + 1), reach[0], reach[1])
        cuts = np.unique(
            np.concatenate([edges, np.arange(start + 1, stop), np.clip([start, stop], edges[0], edges[-1])])
        )
        middle = (cuts[1:] + cuts[:-1]) / 2
        cell = np.clip(np.searchsorted(edges, middle) - 1, 0, high - low - 1)
        pixel = np.clip(np.floor(middle).astype(int) - start, 0, stop - start - 1)
        shares = sparse.csr_matrix((np.diff(cuts) / self._step, (cell, pixel)), shape=(high - low, stop - start))
        return shares.astype(dtype), slice(low, high)


def tiles(box: Box, block: tuple[int, int], limit_px: int) -> Iterator[Box]:
    """Cut a box into tiles of about `limit_px` px at most, along the block grid, rows of blocks first; blocks that are
    larger are cut into tiles that follow each other."""
    x0, y0, x1, y1 = box
    block_w, block_h = block
    wide = max(limit_px // block_h // block_w, 1) * block_w
    high = max(limit_px // min(wide, x1 - x0 + 2 * block_w) // block_h, 1) * block_h
    for top in range(y0 // high * high, y1, high):
        for left in range(x0 // wide * wide, x1, wide):
            yield from _cut((max(left, x0), max(top, y0), min(left + wide, x1), min(top + high, y1)), limit_px)


def _cut(tile: Box, limit_px: int) -> Iterator[Box]:
    x0, y0, x1, y1 = tile
    if (x1 - x0) * (y1 - y0) <= 2 * limit_px:
        yield tile
        return
    wide = min(x1 - x0, limit_px)
    high = max(1, limit_px // wide)
    for top in range(y0, y1, high):
        for left in range(x0, x1, wide):
            yield left, top, min(left + wide, x1), min(top + high, y1)


def _centres(start: float, stop: float, count: int, bound: int) -> np.ndarray:
    positions = start + (np.arange(count) + 0.5) * ((stop - start) / count)
    return np.clip(np.floor(positions).astype(int), 0, bound - 1)
