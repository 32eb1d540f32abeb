"""Two files that are one and the same image: nothing to search, and the identity to the last digit."""

from __future__ import annotations

import filecmp
import os

import numpy as np

from xmatch.coords import corners
from xmatch.correspondences import Correspondences
from xmatch.geometry import DisplacementGrid, Linear, ThinPlateSpline, Transform
from xmatch.geometry.linear import LINEAR_KINDS
from xmatch.geometry.outlines import cell_centres
from xmatch.io.rasters.source import Source
from xmatch.registration.ground import ground_size
from xmatch.result import ErrorMap, Verdict

LOOK_PX = 256
"""Longest side of the look by which pages, bands and masks are told apart that lie in one file. Not tuned."""
POINTS_ACROSS = 12
"""As many as tie points of other registrations (`NARROW`)."""


def same_image(fixed: Source, moving: Source) -> bool:
    """Whether both are the same bytes, read in the same way, and show anything at all: two empty images are alike
    whatever they are of."""
    one, other = fixed.header, moving.header
    if (one.width, one.height, one.bands, one.dtype) != (other.width, other.height, other.bands, other.dtype):
        return False
    if None not in (one.georef, other.georef) and one.georef != other.georef:
        return False
    if not _same_bytes(one.path, other.path):
        return False
    first, second = (source.read(size=_look_size(one.width, one.height)) for source in (fixed, moving))
    pixels = first.pixels[:, first.valid]
    return (
        np.array_equal(first.valid, second.valid)
        and np.array_equal(pixels, second.pixels[:, second.valid])
        and bool((pixels != pixels[:, :1]).any())
    )


def identity(fixed: Source, kind: str) -> tuple[Transform, Correspondences, Verdict, ErrorMap]:
    """The map of an image onto itself, some points of it, the verdict, and that no place is off.

    Args:
        kind: "auto", which is a translation then, or a name in `xmatch.geometry.TRANSFORMS`.
    """
    header = fixed.header
    points = _points(fixed)
    ground = ground_size(header)
    verdict = Verdict(
        accepted=True,
        probability=1.0,
        reason="Both files are the same, byte for byte: every pixel lies where it lies.",
        ce90_px=0.0,
        ce90_ground=None if ground.per_px is None else 0.0,
        ground_unit=ground.unit,
    )
    nothing = np.zeros((1, 1))
    size = (float(header.width), float(header.height))
    errors = ErrorMap((0.0, 0.0), size, nothing, nothing > 0, nothing + 1, 1.0, ground.per_px, ground.unit)
    return _map(kind, header.width, header.height), points, verdict, errors


def _same_bytes(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)
    except (OSError, ValueError):  # not files: URLs, for instance
        return False


def _look_size(width: int, height: int) -> tuple[int, int]:
    factor = min(1.0, LOOK_PX / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _points(source: Source) -> Correspondences:
    """Valid places of a lattice over the image, each its own counterpart."""
    width, height = source.header.width, source.header.height
    xy = cell_centres(width, height, POINTS_ACROSS, POINTS_ACROSS)
    size = _look_size(width, height)
    column, row = (xy * (size[0] / width, size[1] / height)).astype(int).T
    xy = xy[source.read(size=size).valid[row, column]]
    return Correspondences(xy, xy.copy(), np.ones(len(xy)))


def _map(kind: str, width: int, height: int) -> Transform:
    if kind == "grid":
        return DisplacementGrid.sampled(lambda xy: xy, width, height, max(width, height) / 4)
    if kind == "tps":
        return ThinPlateSpline(corners(width, height), corners(width, height))
    return Linear(np.eye(3), kind if kind in LINEAR_KINDS else "translation")
