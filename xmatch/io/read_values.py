"""Which stored pixel values hold data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmatch.raster import one_mask


def holds_data(pixels: np.ndarray, nodata: Sequence[float | None]) -> np.ndarray:
    """Where each band of pixels (C, H, W) is finite and not its `nodata`: (C, H, W) bool, or (1, H, W) where all
    bands agree."""
    finite = pixels.dtype.kind in "fc"
    masking = [v is not None and not np.isnan(v) and _fits(v, pixels.dtype) for v in nodata]
    if not finite and not any(masking):
        return np.ones((1, *pixels.shape[1:]), bool)
    valid = np.isfinite(pixels) if finite else np.ones(pixels.shape, bool)
    for band, (value, masks) in enumerate(zip(nodata, masking, strict=True)):
        if masks:
            with np.errstate(over="ignore"):
                valid[band] &= pixels[band] != np.asarray(value).astype(pixels.dtype)
    return one_mask(valid)


def nodata_notes(nodata: Sequence[float | None], dtype: np.dtype) -> list[str]:
    """What to say of the no-data values that the bands declare."""
    values = list(dict.fromkeys(value for value in nodata if value is not None and not np.isnan(value)))
    notes = []
    if len(values) > 1:
        listed = ", ".join(f"{value:g}" for value in values)
        notes.append(f"its bands declare different nodata values ({listed}): a result has the first for all of them")
    for value in values:
        if not _fits(value, dtype):
            notes.append(f"nodata {value:g} cannot occur in {dtype} pixels and masks nothing; --nodata sets another")
    if 0 in values and dtype.kind == "u":
        notes.append("nodata is 0: pixels that are truly 0 are masked too; --nodata nan keeps them")
    return notes


def orientation_notes(orientation: int, name: str) -> list[str]:
    """What to say of a tag that would have the image shown turned or mirrored."""
    return [] if orientation in (0, 1) else [f"{name} {orientation} is not applied; pixels are as stored"]


def _fits(value: float, dtype: np.dtype) -> bool:
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
