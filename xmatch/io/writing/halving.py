"""Each level of a pyramid from the one below it, tile by tile while these are in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmatch.coords import AnyArray, Floats, Mask


def pyramid_sizes(width: int, height: int, tile_px: int) -> list[tuple[int, int]]:
    """(width, height) of each level: all of it, then halves, rounded up, until one fits into a tile."""
    sizes = [(width, height)]
    while max(sizes[-1]) > tile_px:
        half_width, half_height = ((side + 1) // 2 for side in sizes[-1])
        sizes.append((half_width, half_height))
    return sizes


def levels_in_any_order(sizes: Sequence[tuple[int, int]]) -> int:
    """How many levels, finest first, are halved tile by tile without a look at the tile before: those of even sides."""
    odd = [number for number, (width, height) in enumerate(sizes) if width % 2 or height % 2]
    return min([*odd, len(sizes) - 1])


class Halving:
    """Takes the tiles of a level row by row (where both sides are even, in any order) and gives the pixels of the next
    one as soon as all that they cover is there.

    A pixel of the next level covers an equal share of the image, as programs that read it take for granted: two pixels
    by two, or slightly less where a side is odd. It is the mean of the valid pixels under it, each weighted by how much
    of it is covered, and valid where there is any; or, of labels, the pixel under its centre.

    Args:
        size: (width, height) of the level that comes in.
        averaged: False for labels.
    """

    def __init__(self, size: tuple[int, int], tile_px: int, channels: int, dtype: np.dtype, averaged: bool) -> None:
        self._size, self._tile_px, self._averaged = size, tile_px, averaged
        self._ratio = tuple(side / ((side + 1) // 2) for side in size)
        # Only where a side is odd can a pixel cover some of the tile before.
        self._whole = self._ratio == (2.0, 2.0)
        if not self._whole:
            self._above = np.zeros((channels, size[0] + 1), dtype), np.zeros((channels, size[0] + 1), bool)
            self._left = np.zeros((channels, tile_px + 1), dtype), np.zeros((channels, tile_px + 1), bool)

    def __call__(self, x0: int, y0: int, pixels: AnyArray, valid: Mask) -> tuple[int, int, AnyArray, Mask]:
        """x0, y0, (C, h, w) pixels and their (1 or C, h, w) masks, of a tile and then of what it gives."""
        if self._whole:
            if not self._averaged:
                return x0 // 2, y0 // 2, pixels[:, 1::2, 1::2], valid[:, 1::2, 1::2]
            return x0 // 2, y0 // 2, *_quarter_means(pixels, valid)
        shape = pixels.shape
        pixels = self._joined(0, x0, y0, pixels)
        valid = self._joined(1, x0, y0, np.broadcast_to(valid, shape))
        # Both begin a pixel before the tile now.
        (left, x_taps), (top, y_taps) = (
            self._covered(axis, start, start + length) for axis, start, length in ((0, x0, shape[2]), (1, y0, shape[1]))
        )
        if not self._averaged:
            at = np.ix_(y_taps.middle - (y0 - 1), x_taps.middle - (x0 - 1))
            return left, top, pixels[:, at[0], at[1]], valid[:, at[0], at[1]]
        work = _working_dtype(pixels.dtype)
        weight = _summed(_summed(valid.astype(np.float64), y_taps, y0 - 1, 1), x_taps, x0 - 1, 2)
        known = np.where(valid, pixels, 0).astype(work)
        total = _summed(_summed(known, y_taps, y0 - 1, 1), x_taps, x0 - 1, 2)
        return left, top, _rounded(total, weight, pixels.dtype), np.asarray(weight > 0)

    def _joined(self, which: int, x0: int, y0: int, tile: AnyArray) -> AnyArray:
        """A tile with the row above it and the column before it; keeps its own last ones for the next."""
        channels, height, width = tile.shape
        above, left = self._above[which], self._left[which]
        joined = np.empty((channels, height + 1, width + 1), tile.dtype)
        joined[:, 1:, 1:] = tile
        joined[:, :, 0] = left[:, : height + 1]
        joined[:, 0, 1:] = above[:, x0 : x0 + width]
        # The corner of the next tile is the end of the row above this one.
        left[:, 0] = above[:, x0 + width - 1]
        left[:, 1 : height + 1] = tile[:, :, -1]
        above[:, x0 : x0 + width] = tile[:, -1]
        return joined

    def _covered(self, axis: int, start: int, stop: int) -> tuple[int, _Taps]:
        """The first pixel of the next level whose end lies in start..stop, and what all of these cover."""
        ratio = self._ratio[axis]
        first, last = (int(np.floor(end / ratio + 1e-9)) for end in (start, stop))
        return first, _Taps(np.arange(first, last, dtype=np.float64) * ratio, ratio, self._size[axis])


class _Taps:
    """The pixels, three at most, that spans of one length cover."""

    def __init__(self, starts: Floats, length: float, bound: int) -> None:
        # Products of a rounded ratio may miss a whole number by a hair.
        starts = np.where(np.abs(starts - np.rint(starts)) < 1e-6, np.rint(starts), starts)
        first = np.floor(starts).astype(np.intp)
        self.middle = np.minimum(np.floor(starts + length / 2).astype(np.intp), bound - 1)
        reach = first + np.arange(3)[:, None]
        self.index = np.minimum(reach, bound - 1)
        self.share = np.clip(np.minimum(reach + 1, starts + length) - np.maximum(reach, starts), 0, None)


def _summed(planes: AnyArray, taps: _Taps, origin: int, axis: int) -> AnyArray:
    """Weighted sums of (C, h, w) along an axis whose first pixel is `origin`."""
    shape = [1, 1, 1]
    shape[axis] = -1
    shares = taps.share.astype(planes.real.dtype)
    # A third pixel beyond the tile has no share.
    return _total(
        [
            np.take(planes, index - origin, axis=axis, mode="clip") * share.reshape(shape)
            for index, share in zip(taps.index, shares, strict=True)
        ]
    )


def _total(terms: Sequence[AnyArray]) -> AnyArray:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _quarter_means(pixels: AnyArray, valid: Mask) -> tuple[AnyArray, Mask]:
    """Means of each 2 x 2 px, and where there is any."""
    work = _working_dtype(pixels.dtype)
    if valid.all():
        rows = np.add(pixels[:, ::2], pixels[:, 1::2], dtype=work)
        return _rounded(rows[..., ::2] + rows[..., 1::2], 4, pixels.dtype), valid[:, ::2, ::2]
    weight = _total(_corners(valid.astype(np.uint8)))
    total = _total(_corners(np.where(valid, pixels, 0).astype(work)))
    return _rounded(total, weight, pixels.dtype), np.asarray(weight > 0)


def _corners(planes: AnyArray) -> Sequence[AnyArray]:
    return [planes[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]


def _rounded(total: AnyArray, weight: AnyArray | int, dtype: np.dtype) -> AnyArray:
    """Means in the pixels' dtype, halves upwards; 0 where there is no weight."""
    mean = np.divide(total, np.maximum(weight, 1e-9) if isinstance(weight, np.ndarray) else weight, dtype=total.dtype)
    if dtype.kind not in "iu":
        return mean.astype(dtype)
    limits = np.iinfo(dtype)
    # As a float, the largest 64-bit integer rounds up to one that the type does not hold.
    top = np.nextafter(float(limits.max), 0) if dtype.itemsize == 8 else limits.max
    return np.clip(np.floor(mean + mean.dtype.type(0.5)), limits.min, top).astype(dtype)


def _working_dtype(dtype: np.dtype) -> np.dtype:
    """In which sums are made: single precision holds those of four 16-bit values exactly."""
    if dtype.kind == "c":
        return np.dtype(np.complex128)
    return np.dtype(np.float32 if dtype.kind in "iu" and dtype.itemsize <= 2 else np.float64)
