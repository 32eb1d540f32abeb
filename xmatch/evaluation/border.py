"""Published pairs whose second image was turned inside its own canvas: what to put into the black corners.

The slant of such a border repeats the answer. A matcher that looks at content only must not care what stands there.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from xmatch.io import open_source


def black_border(pixels: np.ndarray, level: float = 8, grow_px: int = 3) -> np.ndarray:
    """(H, W) bool: pixels of (C, H, W) at most `level` in all bands and connected to the edge of the image.

    JPEG smears black by a few grey levels and across the slant; `level` and `grow_px` take that in.
    """
    from scipy import ndimage

    dark = (pixels <= level).all(axis=0)
    # A frame of dark around the image joins all borders into one piece.
    pieces, _ = ndimage.label(np.pad(dark, 1, constant_values=True))
    border = (pieces == pieces[0, 0])[1:-1, 1:-1]
    # For scipy, zero iterations would mean "until nothing changes".
    return ndimage.binary_dilation(border, iterations=grow_px) if grow_px and border.any() else border


def write_filled(path: Path, moving: str, fill: str, filler: str | None, seed: int) -> Path:
    """A copy of `moving` at `path` (GeoTIFF) whose black border is filled and masked as nodata in the file.

    Args:
        fill: "mask" keeps the black; "noise" draws from the image's own values; "other" takes those of `filler`.
    """
    with open_source(moving) as source:
        raster = source.read()
    pixels, border = raster.pixels.copy(), black_border(raster.pixels)
    if fill == "noise" and not border.all():
        rng = np.random.default_rng(seed)
        pixels[:, border] = rng.choice(pixels[:, ~border], border.sum(), axis=1)
    elif fill == "other":
        if filler is None:
            raise ValueError("fill: other wants an image to fill with")
        pixels[:, border] = _like(filler, pixels)[:, border]
    return write_masked(path, pixels, raster.valid & ~border)


def write_masked(path: Path, pixels: np.ndarray, valid: np.ndarray) -> Path:
    """(C, H, W) pixels and their (H, W) mask as a GeoTIFF without any georeferencing."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    bands, height, width = pixels.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": pixels.dtype}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels)
            file.write_mask(valid)
    return path


def _like(path: str, pixels: np.ndarray) -> np.ndarray:
    """The image at `path` in the size, band count and dtype of `pixels`."""
    with open_source(path) as source:
        other = source.read(size=(pixels.shape[2], pixels.shape[1])).pixels
    if len(other) != len(pixels):
        other = np.repeat(other[:1], len(pixels), axis=0)
    return other.astype(pixels.dtype)
