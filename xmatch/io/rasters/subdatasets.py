"""Files of several images that GDAL tells apart as subdatasets: variables of NetCDF, resolutions of Sentinel-2."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from xmatch.errors import InputError
from xmatch.io.rasters.gdal import gdal, open_dataset
from xmatch.io.rasters.geotiff import open_raster
from xmatch.io.rasters.guard import Fingerprint, decoding, silence
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.netcdf_classic import refuse_truncated
from xmatch.io.rasters.options import ReadOptions

_NAMES = (".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5")
"""Of files that are NetCDF of version 4, or other HDF5 whose variables its library reads."""
_LISTED = 6
"""Images that a note names."""


def open_netcdf(path: str, fingerprint: Fingerprint, options: ReadOptions) -> PyramidSource:
    """A variable of a NetCDF file, of the classic formats or of version 4; its further axes (time, depth) are bands.

    Raises:
        InputError, ResourceError, UsageError: see `xmatch.io.open_source`.
    """
    if not options.allow_remote and not path.lower().endswith(_NAMES) and is_hdf5(path):
        raise InputError(
            f"is HDF5, which can keep its values in other files; expected a name that says so ({', '.join(_NAMES)})",
            hint="--allow-remote permits it",
            path=path,
        )
    if not options.allow_remote and is_hdf5(path):
        from xmatch.io.rasters.hdf5_outside import refuse_outside

        refuse_outside(path)
    # GDAL's names of variables hold the path in quotes.
    if '"' in path or not _is_text(path):
        raise InputError("is NetCDF under a name that GDAL cannot quote", hint="rename it", path=path)
    refuse_truncated(path, fingerprint.size)
    names = subdatasets(path, os.path.abspath(path), "netCDF", options)
    return open_subdataset(path, "netCDF", names, [name.rpartition(":")[2] for name in names], fingerprint, options)


def is_hdf5(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x89HDF"


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def subdatasets(path: str, name: str, driver: str, options: ReadOptions) -> list[str]:
    """GDAL's names of the images in a file; none where it is one itself."""
    silence("rasterio")
    with ExitStack() as stack:
        _, dataset, _ = open_dataset(path, name, driver, options)
        stack.callback(dataset.close)
        with gdal(options), decoding(path, "cannot be opened: "):
            return list(dataset.subdatasets)


def open_subdataset(
    path: str,
    driver: str,
    names: Sequence[str],
    titles: Sequence[str],
    fingerprint: Fingerprint,
    options: ReadOptions,
) -> PyramidSource:
    """The one that `--series` names, the first without it.

    Args:
        names: GDAL's, none where the file is an image itself.
        titles: what to call them in notes.
    """
    if options.page:
        raise InputError("has no pages, only page 0", hint="leave out --page; --band names a band", path=path)
    number = options.series or 0
    if number >= max(len(names), 1):
        raise InputError(f"has no series {number}; its series are {_listed(titles) or '0'}", hint="--series", path=path)
    if not names:
        return open_raster(path, driver, fingerprint, options)
    source = open_raster(path, driver, fingerprint, options, subdataset=names[number])
    if len(names) > 1 and options.series is None:
        note = f"series 0 of {len(names)} taken; --series picks another: {_listed(titles)}"
        source.header = replace(source.header, notes=(note, *source.header.notes))
    return source


def _listed(titles: Sequence[str]) -> str:
    shown = ", ".join(f"{number} {title}" for number, title in enumerate(titles[:_LISTED]))
    return f"{shown}, ..." if len(titles) > _LISTED else shown
