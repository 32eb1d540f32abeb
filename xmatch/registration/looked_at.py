"""Where to look: files of which matching sees a part, as masks and a region of interest say.

What lies outside counts as empty for matching. It stays in the raster that is written, which is read from the files
themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from xmatch.coords import Mask
from xmatch.errors import InputError, UsageError
from xmatch.geometry.matrices import apply_affine
from xmatch.geometry.windows import Window, whole
from xmatch.io.areas import SUFFIXES, read_polygons
from xmatch.io.rasters.opening import open_source
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import Header, Source
from xmatch.raster import Raster
from xmatch.registration.options import RegisterOptions


class Area(Protocol):
    def inside(self, window: Window, size: tuple[int, int]) -> Mask:
        """(H, W) bool at `size` = (width, height): where a window of the image is to be looked at."""


@dataclass(frozen=True, eq=False)
class MaskFile:
    """A raster of the image's size: look where it is not zero."""

    source: Source
    """Open, with 0 for no data."""

    def inside(self, window: Window, size: tuple[int, int]) -> Mask:
        return self.source.read(window, size=size).valid


@dataclass(frozen=True)
class Rectangle:
    """The part of an image that a window names."""

    window: Window

    def inside(self, window: Window, size: tuple[int, int]) -> Mask:
        x0, y0, width, height = self.window
        xs = window[0] + (np.arange(size[0]) + 0.5) * window[2] / size[0]
        ys = window[1] + (np.arange(size[1]) + 0.5) * window[3] / size[1]
        found: Mask = ((ys >= y0) & (ys < y0 + height))[:, None] & ((xs >= x0) & (xs < x0 + width))
        return found


@dataclass(eq=False)
class MaskedSource:
    """An open file, empty outside some areas. Whoever opened the file closes it."""

    source: Source
    areas: tuple[Area, ...]

    def __post_init__(self) -> None:
        self.header = self.source.header

    def read(
        self,
        window: Window | None = None,
        size: tuple[int, int] | None = None,
        bands: Sequence[int] | None = None,
        native: bool = False,
    ) -> Raster:
        raster = self.source.read(window, size, bands, native)
        window = window or whole(self.header.width, self.header.height)
        inside = np.logical_and.reduce([area.inside(window, (raster.width, raster.height)) for area in self.areas])
        band_valid = None if raster.band_valid is None else raster.band_valid & inside
        return replace(raster, valid=raster.valid & inside, band_valid=band_valid)

    def close(self) -> None: ...

    def __enter__(self) -> MaskedSource:
        return self

    def __exit__(self, *exc: object) -> None: ...


@contextmanager
def looked_at(
    fixed: Source, moving: Source, options: RegisterOptions
) -> Iterator[tuple[Source, Source, Window | None]]:
    """Both files as matching is to see them, and the part of fixed that it is to look at, None for all of it.

    Raises:
        InputError: a mask that cannot be read or has another size than its image; a region beside the fixed image.
        UsageError: a region that is not understood.
    """
    with ExitStack() as opened:
        areas: list[Area] = [] if options.mask is None else [_mask(options.mask, fixed.header, opened)]
        others: list[Area] = [] if options.moving_mask is None else [_mask(options.moving_mask, moving.header, opened)]
        region = None
        if options.roi is not None:
            region = roi_window(options.roi, fixed.header)
            areas.append(read_polygons(options.roi, fixed.header) if _is_geojson(options.roi) else Rectangle(region))
        yield (
            MaskedSource(fixed, tuple(areas)) if areas else fixed,
            MaskedSource(moving, tuple(others)) if others else moving,
            region,
        )


def roi_window(text: str, header: Header) -> Window:
    """The part of the fixed image that a region of interest takes up.

    Args:
        text: as `RegisterOptions.roi`.

    Raises:
        InputError: it lies beside the image; bounds for an image without georeferencing; a GeoJSON that cannot be read.
        UsageError: it is not understood.
    """
    if _is_geojson(text):
        return read_polygons(text, header).window(header.width, header.height)
    words = text.removeprefix("bounds:")
    try:
        a, b, c, d = (float(word) for word in re.split(r"[\s,;]+", words.strip()))
    except ValueError:
        raise UsageError(f"--roi {text!r} is not understood", hint=ROI_HINT) from None
    if not np.isfinite([a, b, c, d]).all() or (words == text and min(c, d) <= 0):
        raise UsageError(f"--roi {text!r} is not understood", hint=ROI_HINT)
    low, high = np.array([a, b]), np.array([a + c, b + d])
    if words != text:
        if header.georef is None:
            raise InputError("has no georeferencing for the bounds of --roi", hint=ROI_HINT, path=header.path)
        ground = np.array([[a, b], [c, b], [c, d], [a, d]])
        outline = apply_affine(np.linalg.inv(header.georef.matrix), ground)
        low, high = outline.min(axis=0), outline.max(axis=0)
    low, high = np.maximum(np.floor(low), 0), np.minimum(np.ceil(high), (header.width, header.height))
    if (high <= low).any():
        raise InputError(f"--roi {text} lies beside its {header.width} x {header.height} px", path=header.path)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


ROI_HINT = "x,y,width,height in px of FIXED, bounds:minx,miny,maxx,maxy in its CRS, or a GeoJSON file"


def _is_geojson(text: str) -> bool:
    return Path(text).suffix.lower() in SUFFIXES


def _mask(path: str, header: Header, opened: ExitStack) -> Area:
    if _is_geojson(path):
        return read_polygons(path, header)
    source = opened.enter_context(open_source(path, ReadOptions(nodata=0)))
    size, wanted = (source.header.width, source.header.height), (header.width, header.height)
    if size != wanted:
        message = f"is {size[0]} x {size[1]} px; the image that it masks has {wanted[0]} x {wanted[1]}"
        raise InputError(message, path=path)
    return MaskFile(source)
