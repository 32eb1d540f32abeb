"""SAFE folders of Sentinel-1 and -2: one of the images inside.

They are found by where they lie, not by what the manifest says of them, which could name any file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from xmatch.errors import InputError
from xmatch.io.rasters.geotiff import open_raster
from xmatch.io.rasters.guard import Fingerprint, refuse_bomb, sniff
from xmatch.io.rasters.levels import PyramidSource
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.tiff_scan import scan_tiff

_PLACES = ("measurement/*.tiff", "GRANULE/*/IMG_DATA/*.jp2", "GRANULE/*/IMG_DATA/R*m/*.jp2")
"""Of Sentinel-1, and of Sentinel-2 at levels 1C and 2A (the finest resolution first by name: R10m, R20m, R60m)."""
_LISTED = 20
"""Images that a note names."""


def open_safe(path: str, options: ReadOptions) -> PyramidSource:
    """Open the image that `--series` names, by the order of their paths; the first without it.

    Raises:
        InputError: no image there, or one that leads out of the folder; and see `xmatch.io.open_source`.
    """
    files = [file for place in _PLACES for file in sorted(Path(path).glob(place))]
    if not files:
        raise InputError(f"is a SAFE folder without images ({', '.join(_PLACES)})", path=path)
    number = options.series or 0
    listed = ", ".join(f"{k} {file.stem}" for k, file in enumerate(files[:_LISTED]))
    if number >= len(files):
        raise InputError(f"has no series {number}; its series are {listed}", hint="--series", path=path)
    if options.page:
        raise InputError("has no pages, only page 0", hint="leave out --page", path=path)
    file = str(files[number])
    if not os.path.realpath(file).startswith(os.path.join(os.path.realpath(path), "")):
        raise InputError(f"holds {files[number].name}, a link to another place", path=path)
    fingerprint, driver = Fingerprint.take(file), sniff(file)
    if driver not in ("GTiff", "JP2OpenJPEG"):
        raise InputError(f"is {driver}; a SAFE folder holds TIFF or JPEG 2000", path=file)
    directory = scan_tiff(file)[0] if driver == "GTiff" else None
    if directory is not None:
        refuse_bomb(fingerprint, (directory.width, directory.height), directory.claimed_bytes, options.max_memory_bytes)
    source = open_raster(file, driver, fingerprint, options, directory)
    if len(files) > 1 and options.series is None:
        note = f"series 0 of {len(files)} taken; --series picks another: {listed}"
        source.header = replace(source.header, notes=(note, *source.header.notes))
    return source
