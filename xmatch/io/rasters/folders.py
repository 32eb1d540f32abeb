"""Images that are folders: OME-Zarr and SAFE. Which of them one is, its file that speaks for all, and who opens it."""

from __future__ import annotations

import os

from xmatch.errors import InputError
from xmatch.io.rasters.guard import Fingerprint
from xmatch.io.rasters.options import ReadOptions
from xmatch.io.rasters.source import Source

_ZARR = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
"""What Zarr says of a group or an array: of format 3, and of 2."""
_SAFE = ("manifest.safe",)


def root_file(path: str) -> str | None:
    """The file of a folder that says what it holds; None where it is no image."""
    names = (os.path.join(path, name) for name in (*_ZARR, *_SAFE))
    return next((name for name in names if os.path.isfile(name)), None)


def open_folder(path: str, options: ReadOptions) -> Source:
    """
    Raises:
        InputError: a folder that is no image, and what its readers refuse.
    """
    root = root_file(path)
    if root is None:
        raise InputError("is a directory; expected an image file, or a folder of OME-Zarr or SAFE", path=path)
    if root.endswith(_SAFE):
        from xmatch.io.rasters.safe import open_safe

        return open_safe(path, options)
    from xmatch.io.rasters.ome_zarr import open_ome_zarr

    try:
        fingerprint = Fingerprint.take(root)
    except InputError as error:
        raise InputError(f"its {os.path.basename(root)} {error.message}", path=path) from None
    return open_ome_zarr(path, fingerprint, options)
