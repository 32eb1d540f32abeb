"""Colours of TIFFs that are neither grey nor RGB: what GDAL turns into RGB, what it leaves, what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import rasterio
from rasterio.enums import ColorInterp

from xmatch.errors import InputError
from xmatch.io.rasters.tiff_scan import Directory

_SEPARATED, _CIELAB, SIGNED_LAB, _ICC_LAB = 5, (8, 9, 10), 8, 9
"""Values of TIFF's PhotometricInterpretation."""


def unconverted_lab(
    dataset: rasterio.DatasetReader, structure: dict[str, str], directory: Directory | None
) -> int | None:
    """The photometric interpretation of 8-bit Lab with alpha, or of ICC's kind, which GDAL does not turn into RGB."""
    if directory is None or directory.photometric not in (SIGNED_LAB, _ICC_LAB):
        return None
    plain = structure.get("SOURCE_COLOR_SPACE") != "CIELAB" and dataset.count >= 3 and dataset.dtypes[0] == "uint8"
    return directory.photometric if plain else None


def refuse_unconverted(
    structure: dict[str, str], colours: Sequence[ColorInterp], path: str, directory: Directory | None
) -> None:
    """GDAL turns 8-bit CMYK and Lab into RGB; what it leaves as it is would be taken for RGB and alpha.

    Raises:
        InputError: Lab or printing inks of a kind that nothing here turns into RGB.
    """
    separated = ColorInterp.black in colours or ColorInterp.cyan in colours
    if directory:
        separated |= directory.photometric == _SEPARATED and structure.get("SOURCE_COLOR_SPACE") != "CMYK"
        if directory.photometric in _CIELAB and structure.get("SOURCE_COLOR_SPACE") != "CIELAB":
            raise InputError("holds Lab colours that are not 8-bit", hint="convert it to RGB first", path=path)
    if separated:
        raise InputError("holds printing inks that are not 8-bit CMYK", hint="convert it to RGB first", path=path)
