"""The first half of writing a raster: blocks into a plain tiled TIFF, remembering what was written.

The finished formats (COG, OME-TIFF) need all pixels before they can be laid out, so a staged file lies beside the
temporary one for a while. `verify` reads the finished file block by block against the remembered checksums.
"""

from __future__ import annotations

import contextlib
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.errors import OutputError
from xmatch.io.rasters.source import BandDetails, Resolution
from xmatch.io.writing import atomic
from xmatch.io.writing.layout import RasterLayout

TILE_PX = 512
_CACHE_MIB = 128  # GDAL takes 5 % of all memory otherwise, which is no bound at all on a large machine


@dataclass(frozen=True)
class Block:
    """A finished window of an output."""

    x0: int
    y0: int
    pixels: np.ndarray
    """(C, h, w) in the layout's dtype."""
    valid: np.ndarray
    """(C, h, w) bool, or (1, h, w) where all bands share their holes."""
    clipped: int = 0
    """Values that lay out of the dtype's range and were cut back to it."""


@dataclass
class Written:
    """What went into a staged file."""

    checksums: dict[tuple[int, int, int, int], tuple[int, int]] = field(default_factory=dict)
    """(x0, y0, width, height) -> CRC-32 of the pixels and of the mask."""
    valid_px: int = 0
    """Pixels that hold data in any band."""
    clipped: int = 0
    unmarked: int = 0
    """Values without data that the file shows as 0: a mask knows no bands."""


def stage(path: Path, layout: RasterLayout, blocks: Iterable[Block]) -> Written:
    """Write blocks that cover the grid once into a tiled TIFF at `path`.

    Raises:
        OutputError: GDAL cannot write it.
    """
    import rasterio

    written = Written()
    with gdal_session(path), rasterio.open(path, "w", **_profile(layout)) as file:
        _describe(file, layout)
        for block in blocks:
            atomic.step("block")
            height, width = block.valid.shape[1:]
            window = (block.x0, block.y0, width, height)
            pixels = block.pixels if layout.nodata is None else _marked(block.pixels, block.valid, layout.nodata)
            box = rasterio.windows.Window(*window)
            file.write(pixels, window=box)
            mask = np.any(block.valid, axis=0)
            if layout.nodata is None:
                file.write_mask(mask, window=box)
                written.unmarked += int(np.count_nonzero(mask & ~block.valid)) if len(block.valid) > 1 else 0
            written.checksums[window] = _checksums(pixels, mask)
            written.valid_px += int(np.count_nonzero(mask))
            written.clipped += block.clipped
    return written


def verify(path: Path, layout: RasterLayout, written: Written, has_mask: bool, pages: int = 1) -> None:
    """Read a finished file back, every block of it.

    Args:
        path: the file.
        layout: what it should hold.
        written: what was staged.
        has_mask: whether this format keeps the mask of a layout without nodata value.
        pages: 1 when the bands lie in one page, else one page a band.

    Raises:
        OutputError: it cannot be read, or holds other pixels.
    """
    import rasterio

    names = [str(path)] if pages == 1 else [f"GTIFF_DIR:{page}:{path}" for page in range(1, pages + 1)]
    with gdal_session(path), contextlib.ExitStack() as stack:
        files = [stack.enter_context(rasterio.open(name)) for name in names]
        for window, expected in written.checksums.items():
            box = rasterio.windows.Window(*window)
            pixels = np.concatenate([file.read(window=box) for file in files])
            masked = has_mask and layout.nodata is None
            valid = files[0].dataset_mask(window=box) > 0 if masked else None
            found = _checksums(pixels.astype(layout.dtype, copy=False), valid)
            if found != (expected if masked else (expected[0], 0)):
                raise OutputError(f"reads back other pixels than were written, at {window}: is the disk full?")


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
        "interleave": "pixel" if 1 < len(layout.bands) <= 4 else "band",
        "bigtiff": "IF_SAFER",
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


def _marked(pixels: np.ndarray, valid: np.ndarray, nodata: float) -> np.ndarray:
    """Pixels with `nodata` where invalid; a valid value that happens to equal it moves to its neighbour."""
    if np.isnan(nodata):
        return np.where(valid, pixels, pixels.dtype.type(nodata))
    nodata = pixels.dtype.type(nodata)
    if pixels.dtype.kind in "iu":
        neighbour = nodata - 1 if nodata == np.iinfo(pixels.dtype).max else nodata + 1
    else:
        neighbour = nodata - 16 * np.spacing(nodata)  # GDAL takes floats a few steps apart for equal
    return np.where(valid, np.where(pixels == nodata, neighbour, pixels), nodata).astype(pixels.dtype)


def _checksums(pixels: np.ndarray, valid: np.ndarray | None) -> tuple[int, int]:
    mask = 0 if valid is None else zlib.crc32(np.packbits(valid).tobytes())
    return zlib.crc32(np.ascontiguousarray(pixels).data), mask
