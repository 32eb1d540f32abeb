"""Small images for the tests of reading, and GeoTIFFs of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
import tifffile
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

UTM = "EPSG:32633"
NORTH_UP = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0)


def ramp(width: int, height: int, bands: int = 1, dtype: str = "uint16") -> np.ndarray:
    """(bands, height, width), another value nearly everywhere and no symmetry: 3 x + 5 y + 7 x y / width + 100 band."""
    y, x = np.mgrid[:height, :width]
    planes = [3 * x + 5 * y + 7 * x * y // width + 100 * b for b in range(bands)]
    return np.stack(planes).astype(dtype)


def noise(width: int, height: int, bands: int = 1, dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    top = min(np.iinfo(dtype).max, 60_000)
    return np.random.default_rng(seed).integers(1, top, (bands, height, width)).astype(dtype)


def write_geotiff(path: Path, pixels: np.ndarray, *, mask=None, overviews=(), colormap=None, **profile) -> Path:
    """A GeoTIFF in UTM 33N unless `profile` says otherwise; None in `profile` leaves that key out."""
    settings = {
        "driver": "GTiff",
        "width": pixels.shape[2],
        "height": pixels.shape[1],
        "count": pixels.shape[0],
        "dtype": pixels.dtype.name,
        "crs": UTM,
        "transform": NORTH_UP,
    } | profile
    settings = {key: value for key, value in settings.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **settings) as file:
            file.write(pixels)
            if mask is not None:
                file.write_mask(mask)
            if colormap is not None:
                file.write_colormap(1, colormap)
            if overviews:
                file.build_overviews(overviews, rasterio.enums.Resampling.average)
    return path


def tiles_of(path: Path) -> list[tuple[int, int]]:
    """(offset, bytes) of the strips or tiles of the first page."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


def damage(path: Path, offset: int, count: int) -> Path:
    """Overwrite bytes in place with what no codec writes."""
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(b ^ 0xA5 for b in data[offset : offset + count])
    path.write_bytes(data)
    return path


def truncate(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path
