"""No data, said by a value."""

from __future__ import annotations

import numpy as np

from xmatch.coords import AnyArray, Mask


def marked(pixels: AnyArray, valid: Mask, nodata: float) -> AnyArray:
    """Pixels with `nodata` where invalid; a valid value that happens to equal it moves to its neighbour."""
    if np.isnan(nodata):
        return np.where(valid, pixels, pixels.dtype.type(nodata))
    nodata = pixels.dtype.type(nodata)
    taken = pixels == nodata
    if valid.all() and not taken.any():
        return pixels
    if pixels.dtype.kind in "iu":
        neighbour = nodata - 1 if nodata == np.iinfo(pixels.dtype).max else nodata + 1
    else:
        neighbour = nodata - 16 * np.spacing(nodata)  # GDAL takes floats a few steps apart for equal
    return np.where(valid, np.where(taken, neighbour, pixels), nodata).astype(pixels.dtype)
