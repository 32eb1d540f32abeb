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


def lab_to_rgb(lab: np.ndarray, signed: bool) -> np.ndarray:
    """(3, H, W) uint8 of CIE L*a*b* as TIFF stores it to sRGB uint8.

    Args:
        lab: L* from 0 to 255 for 0 to 100, a*, b*.
        signed: whether a*, b* are two's complement (photometric 8, CIELab) or lie around 128 (9, ICCLab).
    """
    light = lab[0] * np.float32(100 / 255)
    a, b = (lab[1:].view(np.int8) if signed else lab[1:].astype(np.int16) - 128).astype(np.float32)
    middle = (light + 16) / 116
    roots = np.stack([middle + a / 500, middle, middle - b / 200])
    # CIE 15:2004, and the matrix from XYZ under D50 to linear sRGB (Lindbloom, with Bradford's adaptation).
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * (108 / 841)) * _D50[:, None, None]
    linear = np.clip(np.tensordot(_D50_TO_SRGB, xyz, 1), 0, 1)
    coded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.rint(255 * coded).astype(np.uint8)


_D50 = np.array([0.9642, 1.0, 0.8249], np.float32)
_D50_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]],
    np.float32,
)


def _fits(value: float, dtype: np.dtype) -> bool:
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
