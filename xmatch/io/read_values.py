"""What stored pixel values mean: no data, colours of a palette."""

from __future__ import annotations

import numpy as np

Palette = dict[int, tuple[int, int, int, int]]
"""Index -> red, green, blue, alpha, each 0..255."""

BLACK_AND_WHITE: Palette = {0: (0, 0, 0, 255), 1: (255, 255, 255, 255)}


def holds_data(pixels: np.ndarray, nodata: float | None) -> np.ndarray:
    """(H, W) bool for pixels (C, H, W): finite in every band, and not `nodata`.

    One band at `nodata` makes a pixel invalid, except for values that colours use: 0 and the type's maximum in
    unsigned multi-band images count only where all bands hold them (pure red is no hole).
    """
    if pixels.dtype.kind in "fc":
        valid = np.isfinite(pixels).all(axis=0)
    else:
        valid = np.ones(pixels.shape[1:], bool)
    if nodata is None or np.isnan(nodata) or not _fits(nodata, pixels.dtype):
        return valid
    with np.errstate(over="ignore"):
        hit = pixels == np.asarray(nodata).astype(pixels.dtype)
    colour = pixels.dtype.kind == "u" and nodata in (0, np.iinfo(pixels.dtype).max)
    return valid & ~(hit.all(axis=0) if colour else hit.any(axis=0))


def nodata_notes(nodata: float | None, dtype: np.dtype) -> list[str]:
    """What to say of a declared no-data value."""
    if nodata is None or np.isnan(nodata):
        return []
    if not _fits(nodata, dtype):
        return [f"nodata {nodata:g} cannot occur in {dtype} pixels and masks nothing; --nodata sets another"]
    if nodata == 0 and dtype.kind == "u":
        return ["nodata is 0: pixels that are truly 0 are masked too; --nodata nan keeps them"]
    return []


def palette_table(colours: Palette) -> Palette:
    """Plain ints from whatever a decoder delivers."""
    return {int(i): (int(r), int(g), int(b), int(a)) for i, (r, g, b, a) in colours.items()}


def expand(index: np.ndarray, palette: Palette) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) indices to (3, H, W) uint8 colours, and where they are not fully transparent; indices without an entry
    are black and invalid."""
    table = np.zeros((max(max(palette), int(index.max(initial=0))) + 1, 4), np.uint8)
    for i, colour in palette.items():
        table[i] = colour
    rgba = table[index]
    return np.moveaxis(rgba[..., :3], -1, 0), rgba[..., 3] > 0


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
