"""Whether the numbers of a file are names of things (classes, instances, masks), which have no mean, or amounts.

Samples in full resolution decide, each band by itself. Labels are

- *whole numbers*: an integer type, in a format that loses nothing (JPEG does);
- *flat*: of neighbours that are not both the commonest value, most are equal. Sensor noise is not flat;
- *cut off*: hardly a pixel lies between its two neighbours in value. On slopes, and on the rims of scanned letters,
  many do;
- *unordered*: where one value ends, any other may begin. In amounts that were cut into levels (heights in metres, an
  index in tenths) it is the next one that occurs, in x and in y; instances that are numbered row by row follow each
  other in x only. Of `FEW` values or fewer this is asked only where they follow each other without a gap, so that no
  value can come to lie between two neighbours; of two or three never.

Rows and columns that repeat the one before are left out where there are many values: an image that was enlarged (20 m
bands on a 10 m grid) is flat for that reason alone.
"""

from __future__ import annotations

import numpy as np

from xmatch.io.rasters.source import Source, Window

FEW = 6
MIN_FLAT = 0.4
MAX_SLOPES = 0.15
MAX_ORDERED, MAX_ORDERED_OF_FEW = 0.7, 0.95
_NEVER_AMOUNTS = 3
"""So many values have too few neighbours to tell an order by, and an outline between two of them is no slope."""
_MANY = 32
_LARGEST_REPEAT = 6
_WINDOW_PX = 256
_WINDOWS_ACROSS = (3, 6)
"""Samples in x and in y; the larger number where the smaller one finds one value only."""

Sample = tuple[np.ndarray, np.ndarray]
"""(H, W) values and where they are valid."""


def holds_labels(source: Source) -> bool:
    """Whether every band that shows more than one value holds labels. Of palettes and other types nothing is read.

    Raises:
        InputError, ResourceError: from reading.
    """
    header = source.header
    if header.palette is not None or np.dtype(header.dtype).kind not in "iu" or header.format == "JPEG":
        return False
    found = []
    for band in range(len(header.bands)):
        found.append(_band_holds_labels(source, band))
        if found[-1] is False:
            return False
    return any(found)


def are_labels(samples: list[Sample]) -> bool | None:
    """Whether samples of one band show labels; None when they show one value only, which tells nothing."""
    values, counts = np.unique(np.concatenate([pixels[valid] for pixels, valid in samples]), return_counts=True)
    if len(values) < 2:
        return None
    common = int(counts.argmax())
    if len(values) > _MANY:
        samples = [_without_repeats(*sample) for sample in samples]
    equal, slopes = 0, 0
    steps, next_ones = np.zeros(2, int), np.zeros(2, int)
    for pixels, valid in samples:
        ranks = np.searchsorted(values, np.where(valid, pixels, values[0])).astype(np.int32)
        for axis, (level, known) in enumerate(((ranks, valid), (ranks.T, valid.T))):
            rise = np.diff(level, axis=1)
            pair = known[:, 1:] & known[:, :-1]
            equal += int(np.count_nonzero(pair & (rise == 0) & (level[:, 1:] != common)))
            steps[axis] += np.count_nonzero(pair & (rise != 0))
            next_ones[axis] += np.count_nonzero(pair & (np.abs(rise) == 1))
            slopes += int(np.count_nonzero(pair[:, 1:] & pair[:, :-1] & (rise[:, 1:] * rise[:, :-1] > 0)))
    if equal < MIN_FLAT * (equal + steps.sum()):
        return False
    if len(values) <= _NEVER_AMOUNTS:
        return True
    if slopes > MAX_SLOPES * steps.sum():
        return False
    order = (next_ones[steps > 0] / steps[steps > 0]).min(initial=1.0)
    if len(values) > FEW:
        return bool(order <= MAX_ORDERED)
    gapless = int(values[-1]) - int(values[0]) == len(values) - 1
    return bool(not gapless or order <= MAX_ORDERED_OF_FEW)


def _without_repeats(pixels: np.ndarray, valid: np.ndarray) -> Sample:
    """A sample without the rows and columns that an enlargement by up to `_LARGEST_REPEAT` has repeated."""
    for _ in range(2):
        new = np.concatenate([[True], (pixels[1:] != pixels[:-1]).any(axis=1)])
        if len(new) <= _LARGEST_REPEAT * np.count_nonzero(new):
            pixels, valid = pixels[new], valid[new]
        pixels, valid = pixels.T, valid.T
    return pixels, valid


def _band_holds_labels(source: Source, band: int) -> bool | None:
    for across in _WINDOWS_ACROSS:
        samples: list[Sample] = []
        windows = _windows(source.header.width, source.header.height, across)
        for window in windows:
            raster = source.read(window, bands=[band])
            samples.append((raster.pixels[0], raster.valid))
            if len(samples) == 1 and not _is_flat_at_all(*samples[0]):
                return False
        found = are_labels(samples)
        if found is not None or len(windows) == 1:
            return found
    return None


def _is_flat_at_all(pixels: np.ndarray, valid: np.ndarray) -> bool:
    """Spares photographs all windows but the first."""
    pair = valid[:, 1:] & valid[:, :-1]
    same = int(np.count_nonzero(pair & (pixels[:, 1:] == pixels[:, :-1])))
    return same >= MIN_FLAT / 2 * int(np.count_nonzero(pair))


def _windows(width: int, height: int, across: int) -> list[Window]:
    """All of a small image, else windows spread evenly over it, row by row."""
    if max(width, height) <= _WINDOWS_ACROSS[0] * _WINDOW_PX:
        return [(0, 0, width, height)]
    wide, high = min(width, _WINDOW_PX), min(height, _WINDOW_PX)
    lefts = np.unique(np.linspace(0, width - wide, across).astype(int)).tolist()
    tops = np.unique(np.linspace(0, height - high, across).astype(int)).tolist()
    return [(left, top, wide, high) for top in tops for left in lefts]
