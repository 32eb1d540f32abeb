"""Transforms on disk, apart from the JSON report: what writes each kind, and what reads them all back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from xmatch.errors import InputError
from xmatch.geometry import Transform, transform_from_dict
from xmatch.io.rasters.source import Header
from xmatch.io.text_files import read_json
from xmatch.io.transforms.displacement import read_displacement, write_displacement
from xmatch.io.transforms.gcps import check_gcps, write_gcps
from xmatch.io.transforms.itk import check_tfm, read_tfm, write_tfm
from xmatch.io.transforms.vrt import check_vrt, write_vrt

TRANSFORM_WRITERS: dict[str, Callable[..., tuple[str, ...]]] = {
    "gcps": write_gcps,
    "vrt": write_vrt,
    "tfm": write_tfm,
    "displacement": write_displacement,
}
"""kind -> writer(path, transform, fixed, moving, *, overwrite=False); fixed and moving are the open files. It returns
notes for the user."""

TRANSFORM_CHECKS: dict[str, Callable[..., object]] = {"gcps": check_gcps, "vrt": check_vrt, "tfm": check_tfm}
"""kind -> check(path, fixed, moving): raises what its writer would raise for these files, whatever the transform."""


def read_transform(path: str | os.PathLike, fixed: Header | None = None, moving: Header | None = None) -> Transform:
    """A transform, moving px -> fixed px, from the JSON of a registration, an ITK .tfm or a displacement grid (.tif).

    Args:
        path: the file; its suffix says which.
        fixed, moving: the two images; only ITK transforms of other programs need them (`read_tfm`).

    Raises:
        InputError: the file cannot be read, or holds no transform.
    """
    readers: dict[str, Callable[[], Transform]] = {
        ".json": lambda: _read_json(path),
        ".tfm": lambda: read_tfm(path, fixed, moving),
        ".tif": lambda: read_displacement(path),
        ".tiff": lambda: read_displacement(path),
    }
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise InputError(f"a transform file ends in one of {', '.join(readers)}", path=path)
    return readers[suffix]()


def _read_json(path: str | os.PathLike) -> Transform:
    document = read_json(path)
    data = document.get("transform", document) if isinstance(document, dict) else None
    if data is None:
        raise InputError("holds no transform", path=path)
    try:
        told = data.get("direction", "moving_to_fixed"), data.get("pixel_origin", "corner")
        if told != ("moving_to_fixed", "corner"):
            raise InputError(f"maps {told[0]} from pixel {told[1]}s; expected moving_to_fixed, corner", path=path)
        return transform_from_dict(data)
    except (ValueError, AttributeError) as error:
        raise InputError(f"not the JSON of a registration: {error}", path=path) from error
