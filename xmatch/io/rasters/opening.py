"""`open_source`: from a path to a `Source`, by the reader that fits the file.

Which reader takes a TIFF (the suffix plays no part; the first rule that fits decides):

1. georeferenced (GeoTIFF tags or RPC on the page asked for)                        -> rasterio
2. OME-XML or ImageJ description, Aperio slide, several full-size pages, SubIFDs,
   or a compression that GDAL lacks                                                 -> tifffile
3. everything else                                                                  -> rasterio

Of JPEG inside TIFF each knows kinds that the other does not (GDAL the old one in pieces, tifffile lossless and 12-bit):
where the reader of these rules cannot decode the first pixels, the other one has a try.

PNG, JPEG, JPEG 2000 and NetCDF go to rasterio, and so do ENVI images (which nothing but the header beside them tells)
and SAFE folders; DICOM, NIfTI and OME-Zarr to readers of their own. VRT files are opened where `virtual.py` finds
nothing against it. Nothing else is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from xmatch.errors import InputError, UsageError, XmatchError
from xmatch.io.rasters.envi import is_envi
from xmatch.io.rasters.guard import Fingerprint, is_remote, refuse_bomb, refuse_remote, sniff
from xmatch.io.rasters.options import ReadOptions

if TYPE_CHECKING:
    from xmatch.io.rasters.source import Source
    from xmatch.io.rasters.tiff_scan import Directory

_JPEGS = {6, 7}
"""Compressions of TIFF: old-style JPEG and JPEG."""
_REMOTE_ZARR = re.compile(r"\.zarr(/|$)", re.IGNORECASE)
_GDAL_COMPRESSIONS = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32809, 32946, 34676, 34677, 34887, 34925, 50000, 50001}


def open_source(path: str | os.PathLike, options: ReadOptions = ReadOptions()) -> Source:
    """Open an image file.

    Raises:
        UsageError: an option that makes sense for no file (band 0, a CRS that cannot be parsed).
        InputError: not a file, not an image, damaged, or without the band, page or series asked for.
        ResourceError: its pixels cannot be read within `max_memory_bytes`.
    """
    try:
        source = _opened(path, options)
    except XmatchError as error:
        error.message, error.hint = options.spelled(error.message), error.hint and options.spelled(error.hint)
        raise
    source.header = replace(source.header, notes=tuple(map(options.spelled, source.header.notes)))
    return source


def _opened(path: str | os.PathLike, options: ReadOptions) -> Source:
    """Readers name options as they are for FIXED."""
    _check_options(options)
    name = os.fsdecode(path)
    if is_remote(name):
        if not options.network:
            refuse_remote(name, options.offline)
        if _REMOTE_ZARR.search(name):
            raise InputError(
                "is an OME-Zarr elsewhere, and only local ones are read", hint="copy or mount it", path=name
            )
        from xmatch.io.rasters.geotiff import open_raster

        return open_raster(name, None, None, options)
    if os.path.isdir(name):
        from xmatch.io.rasters.folders import open_folder

        return open_folder(name, options)
    fingerprint = Fingerprint.take(name)
    driver = "ENVI" if is_envi(name) else sniff(name)
    if driver in _OPENERS:
        return _OPENERS[driver](name, fingerprint, options)
    if options.page or options.series:
        raise InputError("has one image only, page 0 of series 0", hint="leave out --page and --series", path=name)
    if driver == "VRT" and not options.allow_remote:
        from xmatch.io.rasters.virtual import check_virtual

        check_virtual(name)
    from xmatch.io.rasters.geotiff import open_raster

    return open_raster(name, driver, fingerprint, options)


def _open_any_tiff(path: str, fingerprint: Fingerprint, options: ReadOptions) -> Source:
    from xmatch.io.rasters.tiff_scan import scan_tiff

    return _open_tiff(path, scan_tiff(path), fingerprint, options)


def _open_netcdf(path: str, fingerprint: Fingerprint, options: ReadOptions) -> Source:
    from xmatch.io.rasters.subdatasets import open_netcdf

    return open_netcdf(path, fingerprint, options)


def _open_dicom(path: str, fingerprint: Fingerprint, options: ReadOptions) -> Source:
    from xmatch.io.rasters.dicom import open_dicom

    return open_dicom(path, fingerprint, options)


def _open_nifti(path: str, fingerprint: Fingerprint, options: ReadOptions) -> Source:
    from xmatch.io.rasters.nifti import open_nifti

    return open_nifti(path, fingerprint, options)


_OPENERS: dict[str, Callable[[str, Fingerprint, ReadOptions], Source]] = {
    "GTiff": _open_any_tiff,
    "netCDF": _open_netcdf,
    "DICOM": _open_dicom,
    "NIfTI": _open_nifti,
}
"""Formats that know pages or series."""


def _open_tiff(path: str, directories: tuple[Directory, ...], fingerprint: Fingerprint, options: ReadOptions) -> Source:
    pages = [d for d in directories if not d.part] or list(directories[:1])

    def by_tifffile(options: ReadOptions) -> Source:
        from xmatch.io.rasters.medical import open_stack

        return open_stack(path, directories, fingerprint, options)

    def by_rasterio(options: ReadOptions) -> Source:
        from xmatch.io.rasters.geotiff import open_raster

        page = _chosen_page(pages, path, options)
        refuse_bomb(fingerprint, (page.width, page.height), page.claimed_bytes, options.max_memory_bytes)
        return open_raster(path, "GTiff", fingerprint, options, page)

    page = pages[min(options.page or 0, len(pages) - 1)]
    first, second = by_rasterio, by_tifffile
    if _is_for_tifffile(pages, options):
        first, second = second, first
    if page.compression not in _JPEGS or (page.georeferenced and not options.ignore_georef):
        return first(options)
    return (second if not _decodes(first, options) and _decodes(second, options) else first)(options)


def _decodes(opener: Callable[[ReadOptions], Source], options: ReadOptions) -> bool:
    """Whether the first pixels can be read."""
    try:
        with opener(replace(options, allow_damaged=False)) as source:
            source.read((0, 0, min(16, source.header.width), min(16, source.header.height)), bands=(0,))
        return True
    except InputError:
        return False


def _check_options(options: ReadOptions) -> None:
    if options.bands is not None and (not options.bands or min(options.bands) < 1):
        raise UsageError(f"bands are counted from 1; got {list(options.bands)}")
    for name in ("page", "series"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise UsageError(f"--{name} counts from 0; got {value}")


def _is_for_tifffile(pages: list[Directory], options: ReadOptions) -> bool:
    page = pages[min(options.page or 0, len(pages) - 1)]
    if page.georeferenced:
        return False
    first = pages[0]
    described = first.description.lstrip()
    return (
        "<OME" in described
        or described.startswith(("ImageJ=", "Aperio"))
        or len(pages) > 1
        or first.sub_directories > 0
        or first.compression not in _GDAL_COMPRESSIONS
    )


def _chosen_page(pages: list[Directory], path: str, options: ReadOptions) -> Directory:
    if options.series:
        raise InputError(f"has no series {options.series}, only 0", hint="leave out --series", path=path)
    page = options.page or 0
    if page >= len(pages):
        raise InputError(f"has no page {page}; its pages are 0 to {len(pages) - 1}", hint="--page", path=path)
    return pages[page]
