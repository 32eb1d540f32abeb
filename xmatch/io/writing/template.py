"""All that a GeoTIFF says besides its pixels, in GDAL's own spelling: a file of the right size without any tile.

Georeferencing, descriptions, colours and what else GDAL keeps in tags of its own need not be known elsewhere: the
directory of this file is taken as it is (`xmatch.io.writing.cog`).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xmatch.errors import OutputError
from xmatch.io.rasters.source import BandDetails, Resolution
from xmatch.io.writing.layout import RasterLayout
from xmatch.io.writing.pyramid import TILE_PX, predictor_of

_CACHE_MIB = 16  # enough for files without pixels and eight tiles; GDAL takes 5 % of all memory otherwise


def write_template(path: Path, layout: RasterLayout) -> None:
    """A tiled, deflated TIFF in which all tiles are missing.

    Raises:
        OutputError: GDAL cannot write it.
    """
    import rasterio

    with gdal_session(path), rasterio.open(path, "w", **_profile(layout)) as file:
        _describe(file, layout)


@contextlib.contextmanager
def gdal_session(path: Path) -> Iterator[None]:
    """GDAL with bounded memory, its many exceptions told as one."""
    import rasterio
    from rasterio._err import CPLE_BaseError  # drivers that copy raise it bare
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MIB, GDAL_TIFF_INTERNAL_MASK=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(f"could not be written: {error}", path=path) from error


def _profile(layout: RasterLayout) -> dict[str, Any]:
    import rasterio

    grid = layout.grid
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": len(layout.bands),
        "dtype": layout.dtype.name,
        "nodata": layout.nodata,
        "tiled": True,
        "blockxsize": TILE_PX,
        "blockysize": TILE_PX,
        "interleave": "pixel",
        "compress": "deflate",
        "predictor": predictor_of(layout.dtype),
        "sparse_ok": True,
        "bigtiff": "NO",  # it holds no pixels, and the directory is written anew
    }
    if layout.palette:
        profile["photometric"] = "palette"
    elif layout.colours[:3] == ("red", "green", "blue"):
        profile["photometric"] = "rgb"
    if grid.georef:
        profile["crs"] = grid.georef.crs_wkt and rasterio.crs.CRS.from_user_input(grid.georef.crs_wkt)
        if not layout.gcps:
            profile["transform"] = rasterio.Affine(*grid.georef.affine)
    return profile


def _describe(file: Any, layout: RasterLayout) -> None:
    """Everything that a TIFF says of its bands."""
    from rasterio.control import GroundControlPoint
    from rasterio.crs import CRS
    from rasterio.enums import ColorInterp

    file.descriptions = [None if name.isdigit() else name for name in layout.bands]
    file.update_tags(**layout.tags, **resolution_tags(layout.grid.resolution))
    if layout.details:
        _describe_bands(file, layout.details)
    if layout.palette:
        file.write_colormap(1, layout.palette)
    elif layout.colours:
        file.colorinterp = [ColorInterp[colour] for colour in layout.colours]
    if layout.gcps:
        points = [GroundControlPoint(row=y, col=x, x=x_crs, y=y_crs) for x, y, x_crs, y_crs in layout.gcps]
        file.gcps = points, file.crs or file.gcps[1] or CRS()


def _describe_bands(file: Any, details: tuple[BandDetails, ...]) -> None:
    if any((band.scale, band.offset) != (1.0, 0.0) for band in details):
        file.scales = [band.scale for band in details]
        file.offsets = [band.offset for band in details]
    if any(band.unit for band in details):
        file.units = [band.unit for band in details]
    for number, band in enumerate(details, 1):
        if band.tags:
            file.update_tags(number, **band.tags)


def resolution_tags(resolution: Resolution | None) -> dict[str, str]:
    if resolution is None:
        return {}
    x, y, unit = resolution
    return {
        "TIFFTAG_XRESOLUTION": repr(float(x)),
        "TIFFTAG_YRESOLUTION": repr(float(y)),
        "TIFFTAG_RESOLUTIONUNIT": str(unit),
    }
