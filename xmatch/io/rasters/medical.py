"""Medical and microscopy TIFF through tifffile: OME-TIFF, ImageJ, whole slides, stacks of pages, SubIFD pyramids."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tifffile

from xmatch.errors import InputError
from xmatch.io.rasters.guard import Fingerprint, decoding, refuse_bomb, silence
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.palette import WHITE_FIRST_NOTE, Indexed, black_and_white, indexed, white_first
from xmatch.io.rasters.planes import Plane, PlaneLevel, Planes, whole
from xmatch.io.rasters.source import Header
from xmatch.io.rasters.spacing import (
    Spacing,
    aperio_spacing,
    imagej_spacing,
    is_medical,
    ome_facts,
    ome_pixels,
    ome_planes,
    tagged_spacing,
)
from xmatch.io.rasters.tiff_scan import Directory
from xmatch.io.rasters.values import nodata_notes, orientation_notes

MAX_PLANES = 1_000_000
"""Planes that an OME-XML may claim; tifffile makes a list of that length."""
_FORMATS = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF", "svs": "Aperio SVS"}
_JPEG = {6, 7, 34892, 33007}
_LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}
"""None, LZW, Deflate, PackBits, Deflate of old, LZMA, Zstandard."""
_RGB_NAMES = ("red", "green", "blue")
_WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 2, 3, 6
_UNSIGNED = 1
_UNCONVERTED = {5: "printing inks", 8: "Lab colours", 9: "Lab colours", 10: "Lab colours"}
_APERIO_YCBCR = 33003


def open_stack(
    path: str, directories: tuple[Directory, ...], fingerprint: Fingerprint, options: ReadOptions
) -> PyramidSource:
    """Open one page of one series. Channels (the C axis) and colour samples become bands; the planes of all other
    axes are counted as pages, the last axis fastest.

    Raises:
        InputError, ResourceError: see `xmatch.io.open_source`.
    """
    silence("tifffile")
    with ExitStack() as on_failure:
        resources = on_failure.enter_context(ExitStack())
        with decoding(path, "cannot be opened: "):
            # _multifile: an OME-XML may name other files, which are not ours to open.
            tif = resources.enter_context(tifffile.TiffFile(path, _multifile=False))
            if tif.is_ome and ome_planes(tif.ome_metadata or "") > MAX_PLANES:
                raise InputError(f"its OME-XML claims more than {MAX_PLANES} planes", path=path)
            every = list(tif.series)
        number = options.series or 0
        if number >= len(every):
            raise InputError(
                f"has no series {number}; its series are 0 to {len(every) - 1}", hint="--series", path=path
            )
        series = every[number]
        with decoding(path, "cannot be opened: "):
            axes = _Axes.of(series, path, options)
            keyframe = series.keyframe
            _refuse_unconverted(keyframe, path)
            size = keyframe.imagewidth, keyframe.imagelength
            refuse_bomb(fingerprint, size, keyframe.nbytes, options.max_memory_bytes)
            header, planes = _describe(path, tif, series, number, axes, directories[0], options)
            levels = [
                PlaneLevel(path, level, planes)
                for level in series.levels
                if level.axes == series.axes
                and level.shape[: len(axes.shape)] == axes.shape
                and level.dtype == series.dtype
            ]
        if len(every) > 1 and options.series is None:
            note = f"series 0 of {len(every)} taken; --series picks another"
            header = replace(header, notes=(note, *header.notes))
        source = PyramidSource(
            header,
            levels,
            fingerprint=fingerprint,
            close=resources.close,
            max_memory_bytes=options.max_memory_bytes,
            allow_damaged=options.allow_damaged,
        )
        on_failure.pop_all()
        return source


@dataclass(frozen=True)
class _Axes:
    """How the planes of a series are counted."""

    names: str
    """The axes outside a plane, "TZC" for example."""
    shape: tuple[int, ...]
    channels: tuple[int, ...]
    """The plane of each channel, for the page asked for."""
    page: int
    pages: int

    @classmethod
    def of(cls, series: Any, path: str, options: ReadOptions) -> _Axes:
        inner = series.keyframe.axes
        if inner.strip("S") != "YX" or not series.axes.endswith(inner):
            raise InputError(
                f"holds an array with axes {series.axes} in pages of {inner}; expected planes of rows and columns",
                path=path,
            )
        names = series.axes[: len(series.axes) - len(inner)]
        shape = tuple(series.shape[: len(names)])
        planes = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
        if "C" in names:
            planes = np.moveaxis(planes, names.index("C"), -1).reshape(-1, shape[names.index("C")])
        else:
            planes = planes.reshape(-1, 1)
        page = options.page or 0
        if page >= len(planes):
            raise InputError(f"has no page {page}; its pages are 0 to {len(planes) - 1}", hint="--page", path=path)
        return cls(names, shape, tuple(planes[page].tolist()), page, len(planes))


def _describe(
    path: str, tif: Any, series: Any, number: int, axes: _Axes, first: Directory, options: ReadOptions
) -> tuple[Header, Planes]:
    page = series.keyframe
    spacing, channel_names = _spacing_and_channels(tif, series, number, first)
    notes = []
    if axes.pages > 1 and options.page is None:
        of = f" (axes {axes.names.replace('C', '')})" if series.kind in _FORMATS else ""
        notes.append(f"page 0 of {axes.pages} taken{of}; --page picks another")

    samples = whole(page.samplesperpixel, "number of samples a pixel", path)
    extra = tuple(whole(e, "kind of a further sample", path) for e in page.extrasamples)
    alpha = next((samples - len(extra) + i for i, kind in enumerate(extra) if kind in (1, 2)), None)
    colours = [s for s in range(samples) if s != alpha]
    if not colours:
        raise InputError(f"claims {samples} sample(s) per pixel, of which none is an image", path=path)
    bands = [Plane(plane, s) for plane in axes.channels for s in colours]
    names = _band_names(page, channel_names, len(axes.channels), len(colours))

    palette = _palette(page) if len(bands) == 1 else None
    if page.photometric == _WHITE_IS_ZERO and not palette:
        notes.append(WHITE_FIRST_NOTE)
    if palette:
        notes += palette.notes
        if options.bands is not None and tuple(options.bands) != (1,):
            raise InputError(f"has band 1 only, of palette indices; got bands {list(options.bands)}", path=path)
        names = list(palette.bands)
    elif options.bands is not None:
        if max(options.bands) > len(bands):
            raise InputError(
                f"has no band {max(options.bands)}; its bands are 1 to {len(bands)}", hint="--band", path=path
            )
        bands = [bands[b - 1] for b in options.bands]
        names = [names[b - 1] for b in options.bands]

    dtype = np.dtype(page.dtype).newbyteorder("=") if page.dtype is not None else np.dtype("V1")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    if dtype.kind not in "iufc":
        raise InputError("holds pixels of a kind that xmatch does not know; expected numbers", path=path)
    nodata = page.nodata if options.nodata is None and 42113 in page.tags else options.nodata
    notes += nodata_notes([nodata], dtype)
    notes += orientation_notes(first.orientation, "TIFF orientation")
    ome = ome_facts(tif.ome_metadata, number) if series.kind == "ome" else {}
    if series.kind == "svs":
        ome = {"Description": first.description}
    channels = ome.pop("Channel", [])
    if options.bands is not None and len(channels) >= max(options.bands):
        channels = [channels[b - 1] for b in options.bands]
    if channels and len(channels) == len(names) and not palette:
        ome["Channel"] = channels
    if palette:
        dtype = palette.dtype
    header = Header(
        path=path,
        format=_FORMATS.get(series.kind, "TIFF"),
        width=page.imagewidth,
        height=page.imagelength,
        bands=tuple(names),
        dtype=dtype.name,
        spacing_um=spacing,
        nodata=nodata,
        palette=palette.palette if palette else None,
        index_dtype=palette.index_dtype.name if palette else "uint8",
        colours=tuple(names) if tuple(names) == _RGB_NAMES else (),
        medical=series.kind in _FORMATS or is_medical(spacing),
        resolution=first.resolution if first.resolution and min(first.resolution[:2]) > 0 else None,
        orientation=first.orientation,
        is_lossless=page.compression in _LOSSLESS,
        ome=ome,
        tags={"ImageDescription": first.description} if first.description else {},
        notes=tuple(notes),
    )
    return header, Planes(tuple(bands), alpha, palette, nodata)


def _palette(page: Any) -> Indexed | None:
    """What the values of a single band are numbers of, if they are."""
    index_dtype = np.dtype(np.uint8 if page.bitspersample <= 8 else np.uint16)
    if page.photometric == _PALETTE and page.colormap is not None:
        table = np.asarray(page.colormap) >> (8 if page.colormap.max() > 255 else 0)
        return indexed({i: (r, g, b, 255) for i, (r, g, b) in enumerate(table.T)}, index_dtype)
    if page.photometric == _WHITE_IS_ZERO and page.bitspersample <= 16 and page.sampleformat == _UNSIGNED:
        return white_first(page.bitspersample)
    return black_and_white() if page.bitspersample == 1 else None


def _spacing_and_channels(
    tif: Any, series: Any, number: int, first: Directory
) -> tuple[Spacing | None, tuple[str, ...]]:
    if series.kind == "ome":
        return ome_pixels(tif.ome_metadata, number)
    if series.kind == "imagej":
        info = tif.imagej_metadata or {}
        labels = info.get("Labels") if "C" in series.axes else None
        labels = labels if isinstance(labels, (list, tuple)) else None
        unit = info.get("unit")
        spacing = imagej_spacing(first.resolution, unit if isinstance(unit, str) else None)
        return spacing or tagged_spacing(first.resolution), tuple(str(label) for label in labels or ())
    if series.kind == "svs":
        return aperio_spacing(first.description) if number == 0 else None, ()
    return tagged_spacing(first.resolution), ()


def _band_names(page: Any, channel_names: tuple[str, ...], channels: int, samples: int) -> list[str]:
    if samples == 3 and page.photometric in (_RGB, _YCBCR):
        colours = list(_RGB_NAMES)
    else:
        colours = [str(s + 1) for s in range(samples)]
    if channels == 1 and samples > 1:
        return colours
    given = [(channel_names[c] if c < len(channel_names) else "") or str(c + 1) for c in range(channels)]
    return given if samples == 1 else [f"{name} {colour}" for name in given for colour in colours]


def _refuse_unconverted(page: Any, path: str) -> None:
    photometric = whole(page.photometric, "photometric interpretation", path)
    compression = whole(page.compression, "compression", path)
    what = _UNCONVERTED.get(photometric)
    if photometric == _YCBCR and compression not in _JPEG:
        what = "YCbCr colours outside JPEG"
    if compression == _APERIO_YCBCR:
        what = "YCbCr colours in Aperio's JPEG 2000"
    if what:
        raise InputError(f"holds {what} in a stack", hint="convert it to RGB first", path=path)
