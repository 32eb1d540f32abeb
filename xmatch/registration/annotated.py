"""Annotations of one image brought onto the other one by the transform between them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.errors import InputError
from xmatch.geometry import Transform
from xmatch.io.annotations import Annotations
from xmatch.io.crs import named, projected
from xmatch.io.rasters.source import Header
from xmatch.raster import Georef


@dataclass(frozen=True, eq=False)
class MovedAnnotations:
    """Where annotations lie on the other image."""

    xy: Floats
    """(N, 2) in `crs`, or in px where there is none."""
    crs: str | None
    """Of `xy`; None: px, or the units of a georeferencing without CRS."""
    beyond: int
    """So many of them lie where the transform is only continued."""
    frame: str
    """What `xy` is in, in words."""


def onto_other_image(
    annotations: Annotations, transform: Transform, own: Header, other: Header, path: str | os.PathLike[str]
) -> MovedAnnotations:
    """Each vertex by the transform, exactly.

    Positions are read as those of areas are (`xmatch.io.areas`): in the CRS that the file names, else in that of the
    image, else in px. They come back in the CRS that the file names, else in that of the other image, else in its px.

    Args:
        transform: px of `own` -> px of `other`.
        own: the image that they were drawn on.
        other: the image that they are wanted on.
        path: of the file, for errors.

    Raises:
        InputError: none of them lies on `own`, or one where the transform is not defined; or no way leads from one CRS
            to the other.
    """
    if own.georef is not None and own.georef.gcps:
        raise InputError(
            f"{own.path} is georeferenced by control points, which do not say exactly where a position lies",
            hint="register with --ignore-georef, and give annotations in px",
            path=path,
        )
    named_crs = annotations.crs if own.georef is not None and own.georef.crs_wkt else None
    px = _to_px(annotations.xy, named_crs, own.georef)
    inside = ((px >= 0) & (px <= (own.width, own.height))).all(axis=1)
    if not inside.any():
        frame = named_crs or ("the CRS of the image" if own.georef else "px of the image")
        raise InputError(f"read in {frame}, none of its positions lies on {own.path}", path=path)
    there = transform(px)
    lost = ~np.isfinite(there).all(axis=1)
    if lost.any():
        raise InputError(f"{lost.sum()} of {len(lost)} positions lie where the transform is not defined", path=path)
    beyond = int((~(inside & transform.supported(px))).sum())
    georef = other.georef
    if georef is None:
        return MovedAnnotations(there, None, beyond, f"px of {other.path}")
    matrix = georef.matrix
    xy = there @ matrix[:2, :2].T + matrix[:2, 2]
    if georef.crs_wkt is None:
        return MovedAnnotations(xy, None, beyond, f"units of {other.path}")
    crs = named_crs or named(georef.crs_wkt)
    xy = projected(xy, georef.crs_wkt, crs)
    if not np.isfinite(xy).all():
        raise InputError(f"its positions on {other.path} lie beyond {crs}", path=path)
    return MovedAnnotations(xy, crs, beyond, crs)


def _to_px(xy: Floats, crs: str | None, georef: Georef | None) -> Floats:
    if georef is None:
        return xy
    if crs and georef.crs_wkt:
        xy = projected(xy, crs, georef.crs_wkt)
    inverse = np.linalg.inv(georef.matrix)
    return np.asarray(xy @ inverse[:2, :2].T + inverse[:2, 2], np.float64)
