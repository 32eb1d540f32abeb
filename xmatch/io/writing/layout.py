"""What an output raster says of itself: grid, dtype, bands, nodata, colours and tags."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xmatch._version import __version__
from xmatch.io.rasters.source import BandDetails, Header
from xmatch.raster import Grid

_PLACE_TAGS = ("AREA_OR_POINT", "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT")
"""Tags that `Grid` speaks for."""
_PIXEL_TAGS = (
    "STATISTICS_",
    "TIFFTAG_MINSAMPLEVALUE",
    "TIFFTAG_MAXSAMPLEVALUE",
    "EXIF_Orientation",
    "EXIF_Pixel",
    "EXIF_Thumbnail",
    "EXIF_ImageWidth",
    "EXIF_ImageLength",
)
"""Tags (or starts of them) that hold for the moving image's own pixels and for no resampled ones."""
_EXIF_RESOLUTION = ("EXIF_XResolution", "EXIF_YResolution", "EXIF_ResolutionUnit")


@dataclass(frozen=True)
class RasterLayout:
    """What a raster on disk says besides its pixels."""

    grid: Grid
    dtype: np.dtype
    bands: tuple[str, ...]
    """One name a band; names that are only numbers are not written."""
    nodata: float | None = None
    """Value of invalid pixels, in any band; None writes an internal mask instead, one for all bands."""
    palette: dict[int, tuple[int, int, int, int]] | None = None
    colours: tuple[str, ...] = ()
    """GDAL's colour interpretation of each band, lower case ("red", "gray", ...); empty leaves it to GDAL."""
    tags: dict[str, str] = field(default_factory=dict)
    details: tuple[BandDetails, ...] = ()
    """Scale, offset, unit and tags of each band; empty when there are none."""
    ome: dict[str, Any] = field(default_factory=dict)
    """What an OME-TIFF says besides: see `Header.ome`."""
    gcps: tuple[tuple[float, float, float, float], ...] = ()
    """(x_px, y_px, x_crs, y_crs) in the CRS of `grid.georef`, whose affine is then not written."""
    averaged: bool = True
    """Overviews may average pixels; False for labels."""

    @property
    def nbytes(self) -> int:
        return self.grid.width * self.grid.height * (len(self.bands) * self.dtype.itemsize + (self.nodata is None))


def layout_of(moving: Header, grid: Grid, averaged: bool = True, resampled: bool = True) -> RasterLayout:
    """How a file on `grid` with the moving image's values is laid out; `resampled` False: its own pixels."""
    dtype = output_dtype(moving)
    nodata = moving.nodata if moving.nodata is not None and _holds(dtype, moving.nodata) else None
    if nodata is None and dtype.kind in "fc":
        nodata = np.nan
    outdated = (*_PLACE_TAGS, *((*_PIXEL_TAGS, *_EXIF_RESOLUTION) if resampled else ()))
    tags = {
        key: str(value)
        for key, value in moving.tags.items()
        if isinstance(value, (str, int, float)) and not key.startswith(outdated)
    }
    details = tuple(
        replace(band, tags={key: text for key, text in band.tags.items() if not key.startswith(outdated)})
        for band in moving.details
    )
    return RasterLayout(
        grid=grid,
        dtype=dtype,
        bands=("1",) if moving.palette else moving.bands,
        nodata=nodata,
        palette=moving.palette,
        colours=() if moving.palette else _colours(moving),
        tags={**tags, "XMATCH_VERSION": __version__, "XMATCH_MOVING": _readable(os.path.basename(moving.path))},
        details=details,
        ome={"Name": _readable(os.path.basename(moving.path)), **moving.ome},
        gcps=grid.georef.gcps if grid.georef else (),
        averaged=averaged,
    )


def output_dtype(header: Header) -> np.dtype:
    """dtype of the written pixels: the file's own, save those that TIFF writers do not know."""
    replaced = {"bool": "uint8", "float16": "float32", "complex_int16": "complex64"}
    return np.dtype(header.index_dtype if header.palette else replaced.get(header.dtype, header.dtype))


def _readable(name: str) -> str:
    """A file name as the UTF-8 text that GDAL insists on; bytes that are no UTF-8 appear as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _colours(moving: Header) -> tuple[str, ...]:
    """What the file says of its bands' colours; names of the primary colours say it too."""
    if len(moving.colours) == len(moving.bands):
        return moving.colours
    names = tuple(name.lower() if name.lower() in ("red", "green", "blue") else "undefined" for name in moving.bands)
    return names if set(names) != {"undefined"} else ()


def _holds(dtype: np.dtype, value: float) -> bool:
    """Whether a file of the dtype can declare a nodata value: -9999 is no byte, rasterio writes no more than 53 bits of
    an integer, and GDAL looks at the real part only of complex pixels."""
    if dtype.kind in "iu":
        low, high = (int(end) for end in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        return float(value).is_integer() and max(low, -(2**53)) <= value <= min(high, 2**53)
    return dtype.kind == "f"
