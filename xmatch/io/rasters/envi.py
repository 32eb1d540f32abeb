"""ENVI images: bare pixels, which nothing but the text header beside them tells from anything else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from xmatch.errors import InputError
from xmatch.io.rasters.guard import Fingerprint

if TYPE_CHECKING:
    from rasterio import DatasetReader

_FIRST = b"ENVI"


def is_envi(path: str) -> bool:
    """Whether a file has the header of an ENVI image beside it: NAME.hdr or NAME.EXT.hdr.

    Raises:
        InputError: the file is such a header itself.
    """
    stem, suffix = os.path.splitext(path)
    if suffix.lower() == ".hdr":
        if _begins(path):
            raise InputError("is the header of an ENVI image", hint="name the file of its pixels, beside it", path=path)
        return False
    return any(_begins(f"{name}{end}") for name in (path, stem) for end in (".hdr", ".HDR"))


def refuse_truncated(dataset: DatasetReader, file: Fingerprint) -> None:
    """Raise InputError where pixels are missing at the end, which GDAL delivers as zeros in the last line."""
    packed = dataset.tags(ns="ENVI").get("file_compression", "0") != "0"
    needed = dataset.width * dataset.height * sum(np.dtype(name).itemsize for name in dataset.dtypes)
    if file.size < needed and not packed:
        raise InputError(f"is truncated: its header speaks of {needed} bytes, it has {file.size}", path=file.path)


def _begins(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return os.path.isfile(path) and file.read(5).rstrip() == _FIRST
    except (OSError, ValueError):
        return False
