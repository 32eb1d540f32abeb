"""GeoTIFF, COG, PNG, JPEG, JPEG 2000 and whatever else GDAL is trusted with, through rasterio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from xmatch.errors import InputError
from xmatch.io.rasters.area_means import Box
from xmatch.io.rasters.band_layout import LAB_BANDS, BandLayout
from xmatch.io.rasters.colours import SIGNED_LAB
from xmatch.io.rasters.envi import refuse_truncated
from xmatch.io.rasters.gdal import CACHE_BYTES, CACHE_OF_STRIPS_BYTES, gdal, gdal_name, open_dataset
from xmatch.io.rasters.georef import read_georef
from xmatch.io.rasters.guard import Fingerprint, decoding, is_remote, refuse_bomb, silence
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.resolution import stated_resolution
from xmatch.io.rasters.source import BandDetails, Header, Resolution
from xmatch.io.rasters.spacing import is_medical, tagged_spacing
from xmatch.io.rasters.tiff_scan import Directory
from xmatch.io.rasters.values import holds_data, lab_to_rgb

_LOSSLESS = {"NONE", "LZW", "DEFLATE", "PACKBITS", "LZMA", "ZSTD"}
"""Compressions of TIFF, in GDAL's words; of others not all files are."""
_SEQUENTIAL = {"PNG", "JPEG"}


def open_raster(
    path: str,
    driver: str | None,
    fingerprint: Fingerprint | None,
    options: ReadOptions,
    directory: Directory | None = None,
    subdataset: str | None = None,
) -> PyramidSource:
    """Open with the one GDAL driver that the file's first bytes call for (None, for remote files: any).

    Args:
        directory: the IFD to read, of a TIFF.
        subdataset: GDAL's name of the one to read, of a file of several.

    Raises:
        InputError, ResourceError, UsageError: see `xmatch.io.open_source`.
    """
    silence("rasterio")
    with ExitStack() as on_failure:
        resources = on_failure.enter_context(ExitStack())
        name = subdataset or gdal_name(path, directory, resources)
        opener, opened, doubts = open_dataset(path, name, driver, options)
        dataset = resources.enter_context(opened)
        with gdal(options), decoding(path, "cannot be opened: "):
            layout = BandLayout.of(dataset, path, options, directory)
            georef, notes = read_georef(dataset, options)
            header = _header(dataset, path, layout, directory, georef, (*layout.notes, *doubts, *notes))
            if options.ignore_georef:
                header = replace(header, georef_ignored=_ignored_georef(dataset, path, options))
            if fingerprint and driver == "ENVI":
                refuse_truncated(dataset, fingerprint)
            if fingerprint:
                claimed = dataset.width * dataset.height * dataset.count * layout.dtype.itemsize
                refuse_bomb(fingerprint, dataset.shape[::-1], claimed, options.max_memory_bytes)
            overviews = len(dataset.overviews(1)) if directory is None or directory.number == 0 else 0
        openers: list[Callable[[], rasterio.DatasetReader]] = [opener]
        openers += [partial(opener, overview_level=k) for k in range(overviews)]
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


class RasterLevel:
    """The full resolution, or one overview, of a rasterio dataset."""

    def __init__(
        self, opener: Callable[[], rasterio.DatasetReader], path: str, layout: BandLayout, options: ReadOptions
    ) -> None:
        self._opener, self._path, self._layout, self._options = opener, path, layout, options
        self._dataset = dataset = opener()
        with gdal(options), decoding(path, "cannot be opened: "):
            self.width, self.height = dataset.width, dataset.height
            rows, columns = dataset.block_shapes[layout.bands[0] - 1]
            self.block = columns, rows
            self._cache_bytes = CACHE_BYTES if columns < self.width else CACHE_OF_STRIPS_BYTES
            self.sequential = dataset.driver in _SEQUENTIAL
            self._flags = dataset.mask_flag_enums

    def close(self) -> None:
        self._dataset.close()

    def load(self, box: Box, bands: Sequence[int], native: bool) -> tuple[np.ndarray, np.ndarray]:
        """See `Level.load`."""
        layout = self._layout
        wanted = list(layout.bands) if layout.palette else [layout.bands[b] for b in bands]
        indexes = list(LAB_BANDS) if layout.lab else wanted
        window = Window(box[0], box[1], box[2] - box[0], box[3] - box[1])
        if self._dataset.closed:
            self._dataset = self._opener()
        with gdal(self._options, self._cache_bytes), self._closed_on_failure(), decoding(self._path):
            pixels = self._dataset.read(indexes, window=window)
            masks = self._masks(indexes, window)
            if layout.alpha:
                masks.append(self._dataset.read(layout.alpha, window=window))
        valid = holds_data(pixels, self._compared(bands))
        for mask in masks:
            valid = valid & (mask != 0)
        if layout.lab:
            # A colour takes all three; a* of no-data alone is one.
            valid = np.any(valid, axis=0, keepdims=True)
            pixels = lab_to_rgb(pixels, layout.lab == SIGNED_LAB)[[i - 1 for i in wanted]]
        if layout.palette:
            valid = valid & layout.palette.opaque(pixels[0])
            pixels = pixels if native else layout.palette.shown(pixels[0], bands)
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

    @property
    def _gdal_compares(self) -> bool:
        """A nodata value of 64 bits, which rasterio rounds to a float."""
        return self._layout.dtype.name in ("int64", "uint64") and self._options.nodata is None

    def _compared(self, bands: Sequence[int]) -> list[float | None]:
        """The nodata value that pixels of each band are to be compared with."""
        nodata = self._layout.nodata
        if self._gdal_compares:
            return [None] * len(bands)
        return list(nodata) if self._layout.palette or self._layout.lab else [nodata[b] for b in bands]

    def _masks(self, indexes: list[int], window: Window) -> list[np.ndarray]:
        """GDAL's masks (C or 1, h, w), 0 where invalid, when they say more than nodata and alpha do: an internal mask
        or a .msk file."""
        known = {MaskFlags.all_valid, MaskFlags.alpha} | (set() if self._gdal_compares else {MaskFlags.nodata})
        redundant = [bool(known & set(self._flags[b - 1])) for b in indexes]
        if all(redundant):
            return []
        if MaskFlags.per_dataset in self._flags[indexes[0] - 1]:
            return [self._dataset.read_masks(indexes[:1], window=window)]
        masks = np.full((len(indexes), int(window.height), int(window.width)), 255, np.uint8)
        for mask, band, skipped in zip(masks, indexes, redundant, strict=True):
            if not skipped:
                mask[:] = self._dataset.read_masks(band, window=window)
        return [masks]


def _header(
    dataset: rasterio.DatasetReader,
    path: str,
    layout: BandLayout,
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
        # A value of L*, a* or b* says nothing of red, green and blue.
        nodata=None if layout.lab else next((value for value in layout.nodata if value is not None), None),
        palette=layout.palette.palette if layout.palette else None,
        index_dtype=layout.palette.index_dtype.name if layout.palette else "uint8",
        colours=layout.colours,
        medical=is_medical(spacing),
        details=_details(dataset, layout.bands),
        resolution=_resolution(dataset, path, directory),
        orientation=layout.orientation,
        is_lossless=_is_lossless(dataset),
        tags=dict(dataset.tags()),
        notes=notes,
    )


def _is_lossless(dataset: rasterio.DatasetReader) -> bool:
    compression = dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "NONE")
    return dataset.driver == "PNG" or (dataset.driver == "GTiff" and compression in _LOSSLESS)


def _details(dataset: rasterio.DatasetReader, bands: tuple[int, ...]) -> tuple[BandDetails, ...]:
    return tuple(
        BandDetails(b, dataset.scales[b - 1], dataset.offsets[b - 1], dataset.units[b - 1] or "", dataset.tags(b))
        for b in bands
    )


def _resolution(dataset: rasterio.DatasetReader, path: str, directory: Directory | None) -> Resolution | None:
    if directory:
        return directory.resolution and (directory.resolution if min(directory.resolution[:2]) > 0 else None)
    return None if is_remote(path) else stated_resolution(path, dataset.driver, dataset.tags())


def _ignored_georef(dataset: rasterio.DatasetReader, path: str, options: ReadOptions) -> Any:
    """What `--ignore-georef` leaves out of account; None also where it is broken, which is then nobody's concern."""
    try:
        with decoding(path):
            return read_georef(dataset, replace(options, ignore_georef=False, assume_crs=None))[0]
    except InputError:
        return None
