"""Which bands of a rasterio dataset are data, and what their values mean: alpha, palettes, Lab, nodata, names."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from xmatch.errors import InputError
from xmatch.io.rasters.colours import refuse_unconverted, unconverted_lab
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.palette import WHITE_FIRST_NOTE, Indexed, black_and_white, indexed, white_first
from xmatch.io.rasters.tiff_scan import Directory
from xmatch.io.rasters.values import nodata_notes, orientation_notes

LAB_BANDS = (1, 2, 3)
"""Where L*, a* and b* are."""
_RGB = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}


@dataclass(frozen=True)
class BandLayout:
    """Which of a dataset's bands are data, and what their values mean."""

    bands: tuple[int, ...]
    """Data bands, from 1."""
    alpha: int | None
    names: tuple[str, ...]
    colours: tuple[str, ...]
    dtype: np.dtype[Any]
    palette: Indexed | None
    nodata: tuple[float | None, ...]
    """Value of pixels without data, of each band; of Lab, of L*, a* and b*."""
    orientation: int
    notes: tuple[str, ...]
    lab: int | None = None
    """Photometric interpretation of 8-bit Lab that GDAL leaves as it is; its first three bands then are RGB here."""

    @classmethod
    def of(
        cls, dataset: rasterio.DatasetReader, path: str, options: ReadOptions, directory: Directory | None
    ) -> BandLayout:
        colours = dataset.colorinterp
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        notes = []
        lab = unconverted_lab(dataset, structure, directory)
        refuse_unconverted(structure, colours, path, None if lab else directory)
        if lab:
            notes.append("Lab colours converted to RGB")
        if structure.get("SOURCE_COLOR_SPACE") in ("CMYK", "CIELAB"):
            notes.append(f"{structure['SOURCE_COLOR_SPACE']} converted to RGB")
        alpha = next((i for i, c in enumerate(colours, 1) if c == ColorInterp.alpha), None)
        if options.bands is None:
            bands = tuple(i for i in dataset.indexes if i != alpha) or dataset.indexes
        else:
            bands = tuple(options.bands)
        if max(bands) > dataset.count:
            raise InputError(f"has no band {max(bands)}; its bands are 1 to {dataset.count}", hint="--band", path=path)
        if alpha in bands:
            alpha = None
        if lab and max(bands) > len(LAB_BANDS):
            raise InputError("has bands 1 to 3 only, of Lab colours", hint="--band", path=path)

        dtype = np.dtype("complex64" if dataset.dtypes[0] == "complex_int16" else dataset.dtypes[0])
        palette = _palette(dataset, structure, dtype) if bands == (1,) else None
        index_dtype = dtype
        if palette is None and bands == (1,) and colours[0] == ColorInterp.palette:
            notes.append("its palette has no colour table: the indices are taken as grey values")
        if structure.get("MINISWHITE") == "YES" and not palette:
            notes.append(WHITE_FIRST_NOTE)
        if palette:
            notes += palette.notes
            names = palette.bands
            shown = names if len(names) == 3 else ("gray",)
            dtype = palette.dtype
        elif lab:
            names = shown = tuple(tuple(_RGB.values())[b - 1] for b in bands)
        else:
            names = tuple(dataset.descriptions[b - 1] or _RGB.get(colours[b - 1]) or str(b) for b in bands)
            shown = tuple(colours[b - 1].name for b in bands)
        compared = LAB_BANDS if lab else bands
        nodata = tuple(dataset.nodatavals[b - 1] if options.nodata is None else options.nodata for b in compared)
        notes += nodata_notes(nodata, index_dtype)
        orientation = directory.orientation if directory else _exif_orientation(dataset.tags())
        notes += orientation_notes(orientation, "EXIF orientation" if directory is None else "TIFF orientation")
        return cls(bands, alpha, names, shown, dtype, palette, nodata, orientation, tuple(notes), lab)


def _palette(dataset: rasterio.DatasetReader, structure: dict[str, str], dtype: np.dtype[Any]) -> Indexed | None:
    """What the values of a single band are numbers of, if they are."""
    bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") or 8 * dtype.itemsize)
    if structure.get("MINISWHITE") == "YES" and dtype.kind == "u" and bits <= 16:
        return white_first(bits)
    table = None
    if dataset.colorinterp[0] == ColorInterp.palette:
        with suppress(ValueError):  # rasterio's word for none: "NULL color table"
            table = dataset.colormap(1)
    if table:
        return indexed(table, dtype)
    return black_and_white() if bits == 1 else None


def _exif_orientation(tags: dict[str, str]) -> int:
    text = tags.get("EXIF_Orientation", "").strip()
    return int(text) if text.isdecimal() else 1
