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


def orientation_notes(orientation: int, name: str) -> list[str]:
    """What to say of a tag that would have the image shown turned or mirrored."""
    return [] if orientation in (0, 1) else [f"{name} {orientation} is not applied; pixels are as stored"]


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


def _fits(value: float, dtype: np.dtype) -> bool:
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
