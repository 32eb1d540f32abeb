"""GeoTIFF, COG, PNG, JPEG and JPEG 2000 through rasterio."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from xmatch.errors import InputError
from xmatch.io.read_georef import read_georef
from xmatch.io.read_guard import Fingerprint, decoding, is_remote, refuse_bomb, silence
from xmatch.io.read_levels import PyramidSource
from xmatch.io.read_options import ReadOptions
from xmatch.io.read_sampling import Box
from xmatch.io.read_spacing import is_medical, tagged_spacing
from xmatch.io.read_tiff_scan import Directory
from xmatch.io.read_values import BLACK_AND_WHITE, Palette, expand, holds_data, nodata_notes, palette_table
from xmatch.io.source import Header

_CACHE_BYTES = 128 * 2**20
_SEQUENTIAL = {"PNG", "JPEG"}
_RGB = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
_SEPARATED, _CIELAB = 5, (8, 9, 10)


def open_raster(
    path: str,
    driver: str | None,
    fingerprint: Fingerprint | None,
    options: ReadOptions,
    directory: Directory | None = None,
) -> PyramidSource:
    """Open with the one GDAL driver that the file's first bytes call for (None, for remote files: any).

    Args:
        directory: the IFD to read, of a TIFF.

    Raises:
        InputError, ResourceError, UsageError: see `xmatch.io.open_source`.
    """
    silence("rasterio")
    with ExitStack() as on_failure:
        resources = on_failure.enter_context(ExitStack())
        name = _gdal_name(path, directory, resources)
        opener, opened, doubts = _opener(path, name, driver, options)
        dataset = resources.enter_context(opened)
        with _gdal(options), decoding(path, "cannot be opened: "):
            layout = _Layout.of(dataset, path, options, directory)
            georef, notes = read_georef(dataset, options)
            header = _header(dataset, path, layout, directory, georef, (*layout.notes, *doubts, *notes))
            if fingerprint:
                claimed = dataset.width * dataset.height * dataset.count * layout.dtype.itemsize
                refuse_bomb(fingerprint, dataset.shape[::-1], claimed, options.max_memory_bytes)
            overviews = len(dataset.overviews(1)) if directory is None or directory.number == 0 else 0
        openers = [opener, *(partial(opener, overview_level=k) for k in range(overviews))]
        levels = [RasterLevel(each, path, layout, options) for each in openers]
        for level in levels:
            resources.callback(level.close)
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
class _Layout:
    """Which of a dataset's bands are data, and what their values mean."""

    bands: tuple[int, ...]
    """Data bands, from 1."""
    alpha: int | None
    names: tuple[str, ...]
    colours: tuple[str, ...]
    dtype: np.dtype
    palette: Palette | None
    nodata: float | None
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls, dataset: rasterio.DatasetReader, path: str, options: ReadOptions, directory: Directory | None
    ) -> _Layout:
        colours = dataset.colorinterp
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        notes = []
        _refuse_unconverted(structure, colours, path, directory)
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

        dtype = np.dtype("complex64" if dataset.dtypes[0] == "complex_int16" else dataset.dtypes[0])
        palette = None
        if bands == (1,) and colours[0] == ColorInterp.palette:
            palette = _colour_table(dataset)
            if palette is None:
                notes.append("its palette has no colour table: the indices are taken as grey values")
        if dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1" and bands == (1,):
            palette = palette or BLACK_AND_WHITE
            notes.append("1-bit image: 0 and 1 taken as black and white")
        if palette:
            names: tuple[str, ...] = ("red", "green", "blue")
            shown = names
            dtype = np.dtype(np.uint8)
        else:
            names = tuple(dataset.descriptions[b - 1] or _RGB.get(colours[b - 1]) or str(b) for b in bands)
            shown = tuple(colours[b - 1].name for b in bands)
        nodata = dataset.nodatavals[bands[0] - 1] if options.nodata is None else options.nodata
        notes += nodata_notes(nodata, np.dtype(np.uint8) if palette else dtype)
        orientation = dataset.tags().get("EXIF_Orientation", "1")
        if orientation not in ("", "1"):
            notes.append(f"EXIF orientation {orientation} is not applied; pixels are as stored")
        return cls(bands, alpha, names, shown, dtype, palette, nodata, tuple(notes))


class RasterLevel:
    """The full resolution, or one overview, of a rasterio dataset."""

    def __init__(
        self, opener: Callable[[], rasterio.DatasetReader], path: str, layout: _Layout, options: ReadOptions
    ) -> None:
        self._opener, self._path, self._layout, self._options = opener, path, layout, options
        self._dataset = dataset = opener()
        with _gdal(options), decoding(path, "cannot be opened: "):
            self.width, self.height = dataset.width, dataset.height
            rows, columns = dataset.block_shapes[layout.bands[0] - 1]
            self.block = columns, rows
            self.sequential = dataset.driver in _SEQUENTIAL
            self._flags = dataset.mask_flag_enums

    def close(self) -> None:
        self._dataset.close()

    def load(self, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        """See `Level.load`."""
        layout = self._layout
        indexes = list(layout.bands) if layout.palette else [layout.bands[b] for b in bands]
        window = Window(box[0], box[1], box[2] - box[0], box[3] - box[1])
        if self._dataset.closed:
            self._dataset = self._opener()
        with _gdal(self._options), self._closed_on_failure(), decoding(self._path):
            pixels = self._dataset.read(indexes, window=window)
            masks = [self._dataset.read_masks(b, window=window) for b in self._masked(indexes)]
            if layout.alpha:
                masks.append(self._dataset.read(layout.alpha, window=window))
        valid = holds_data(pixels, layout.nodata)
        for mask in masks:
            valid &= mask != 0
        if layout.palette and not native:
            pixels, opaque = expand(pixels[0], layout.palette)
            return pixels[list(bands)], valid & opaque
        return pixels, valid

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        """After an error GDAL's PNG reader fails for good and its JPEG reader delivers zeros: start those afresh."""
        try:
            yield
        except InputError:
            if self.sequential:
                self._dataset.close()
            raise

    def _masked(self, indexes: list[int]) -> list[int]:
        """Bands whose mask says more than nodata and alpha do: an internal mask or a .msk file."""
        own = [
            b for b in indexes if not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha} & set(self._flags[b - 1])
        ]
        shared = own and MaskFlags.per_dataset in self._flags[own[0] - 1]
        return own[:1] if shared else own


def _header(
    dataset: rasterio.DatasetReader,
    path: str,
    layout: _Layout,
    directory: Directory | None,
    georef: Any,
    notes: tuple[str, ...],
) -> Header:
    cog = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    spacing = None
    if directory and not directory.georeferenced and georef is None:
        spacing = tagged_spacing(directory.resolution)
    return Header(
        path=path,
        format="COG" if cog else dataset.driver.replace("JP2OpenJPEG", "JPEG 2000"),
        width=dataset.width,
        height=dataset.height,
        bands=layout.names,
        dtype=layout.dtype.name,
        georef=georef,
        spacing_um=spacing,
        nodata=layout.nodata,
        palette=layout.palette,
        colours=layout.colours,
        medical=is_medical(spacing),
        tags=dict(dataset.tags()),
        notes=notes,
    )


def _refuse_unconverted(
    structure: dict[str, str], colours: Sequence[ColorInterp], path: str, directory: Directory | None
) -> None:
    """GDAL turns 8-bit CMYK and Lab into RGB; what it leaves as it is would be taken for RGB and alpha."""
    separated = ColorInterp.black in colours or ColorInterp.cyan in colours
    if directory:
        separated |= directory.photometric == _SEPARATED and structure.get("SOURCE_COLOR_SPACE") != "CMYK"
        if directory.photometric in _CIELAB and structure.get("SOURCE_COLOR_SPACE") != "CIELAB":
            raise InputError("holds Lab colours of more than 8 bits", hint="convert it to RGB first", path=path)
    if separated:
        raise InputError("holds printing inks that are not 8-bit CMYK", hint="convert it to RGB first", path=path)


@contextmanager
def _gdal(options: ReadOptions) -> Iterator[None]:
    """GDAL set up to keep quiet, to read rows of a PNG one by one (its short cut hides truncation) and to stay off
    the network, where a sidecar file could send it."""
    settings: dict[str, Any] = {"GDAL_CACHEMAX": _CACHE_BYTES, "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO"}
    if not options.allow_remote:
        settings["CPL_VSIL_CURL_ALLOWED_EXTENSIONS"] = ".none"
    with rasterio.Env(**settings), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with _no_undecodable_log():
            yield


@contextmanager
def _no_undecodable_log() -> Iterator[None]:
    """rasterio's log of GDAL's messages prints two tracebacks when damage puts bytes into one that are not UTF-8."""
    hooks = sys.excepthook, sys.unraisablehook

    def excepthook(kind: Any, value: Any, trace: Any) -> None:
        if kind is not UnicodeDecodeError:
            hooks[0](kind, value, trace)

    def unraisablehook(event: Any) -> None:
        if event.exc_type is not UnicodeDecodeError:
            hooks[1](event)

    sys.excepthook, sys.unraisablehook = excepthook, unraisablehook
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks


def _opener(
    path: str, name: str, driver: str | None, options: ReadOptions
) -> tuple[Callable[..., rasterio.DatasetReader], rasterio.DatasetReader, tuple[str, ...]]:
    """What opens the file, the file opened by it, and what to say of that: georeferencing over which GDAL stumbles is
    left out."""
    opener = partial(_opened, path, name, driver, options)
    try:
        return opener, _looked_at(opener, path, options), ()
    except InputError as error:
        if driver != "GTiff":
            raise
        opener = partial(opener, GEOREF_SOURCES="NONE")
        try:
            dataset = _looked_at(opener, path, options)
        except InputError:
            raise error from None
        return opener, dataset, (f"its georeferencing is damaged and not used: {error.message.partition(': ')[2]}",)


def _looked_at(opener: Callable[[], rasterio.DatasetReader], path: str, options: ReadOptions) -> rasterio.DatasetReader:
    """The dataset, once GDAL has read its georeferencing, which it puts off."""
    dataset = opener()
    try:
        with _gdal(options), decoding(path, "cannot be opened: "):
            dataset.tags(), dataset.colorinterp
        return dataset
    except BaseException:
        dataset.close()
        raise


def _colour_table(dataset: rasterio.DatasetReader) -> Palette | None:
    try:
        return palette_table(dataset.colormap(1)) or None
    except ValueError:  # rasterio's word for none: "NULL color table"
        return None


def _opened(path: str, name: str, driver: str | None, options: ReadOptions, **how: Any) -> rasterio.DatasetReader:
    with _gdal(options), decoding(path, "cannot be opened: "):
        return rasterio.open(name, driver=driver, **how)


def _gdal_name(path: str, directory: Directory | None, stack: ExitStack) -> str:
    """The name under which GDAL finds the file: absolute, lest "-x.tif" or "s3:x.tif" mean something to it."""
    if is_remote(path):
        return path
    name = os.path.abspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        # rasterio takes UTF-8 names only; an open descriptor has one, at the price of sidecar files.
        descriptor = os.open(path, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        name = f"/dev/fd/{descriptor}"
    return f"GTIFF_DIR:{directory.number + 1}:{name}" if directory and directory.number else name
