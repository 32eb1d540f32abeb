"""Correspondences into files: CSV, JSON and NPZ in pixels, and the `.points` of QGIS's Georeferencer.

CSV, JSON and NPZ count pixels as xmatch does and say so. In JSON and NPZ, `pixel_origin` "corner" means that the first
pixel's corner lies at (0, 0). A CSV stays all numbers: its constant column `first_centre` says that the centre of the
first pixel lies at (0.5, 0.5).
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import CENTRE
from xmatch.errors import OutputError
from xmatch.io.points.qgis import QGIS_COLUMNS, to_layer
from xmatch.io.writing.atomic import atomic_write
from xmatch.raster import Georef
from xmatch.result import Registration

COLUMNS = ("fixed_x", "fixed_y", "moving_x", "moving_y", "certainty", "inlier", "residual_px")
CSV_COLUMNS = (*COLUMNS, "first_centre")
SCHEMA = "xmatch.points/1"
_DECIMALS = 6  # of a pixel: far below what any matcher resolves


def write_points(path: str | os.PathLike, kind: str, registration: Registration, *, overwrite: bool = False) -> None:
    """The correspondences of a registration in a file.

    Args:
        path: the file to write.
        kind: a name in `POINTS_ENCODERS`.
        registration: its `fixed` and `moving` facts place the points of QGIS on the ground.
        overwrite: replace an existing file.

    Raises:
        OutputError: see `atomic_write`.
    """
    content = POINTS_ENCODERS[kind](registration)

    def verify(temp: Path) -> None:
        if temp.read_bytes() != content:
            raise OutputError("reads back other bytes than were written", path=temp)

    with atomic_write(path, overwrite, verify) as temp:
        temp.write_bytes(content)


def encode_csv(registration: Registration) -> bytes:
    """One row a point, under a header, all of it numbers: `inlier` is 1 or 0, an unknown residual nan."""
    rows = [(*row[:5], int(row[5]), "nan" if row[6] is None else row[6], CENTRE) for row in _rows(registration)]
    return "".join(",".join(map(str, row)) + "\n" for row in [CSV_COLUMNS, *rows]).encode()


def encode_json(registration: Registration) -> bytes:
    """{"schema", "pixel_origin", "count", "points": [{fixed_x, ...}]}; an unknown residual is null."""
    points = [dict(zip(COLUMNS, row, strict=True)) for row in _rows(registration)]
    document = {"schema": SCHEMA, "pixel_origin": "corner", "count": len(points), "points": points}
    return (json.dumps(document, allow_nan=False) + "\n").encode()


def encode_npz(registration: Registration) -> bytes:
    """Arrays fixed_xy, moving_xy (N, 2), certainty, inlier, residual_px (N,), and the string pixel_origin."""
    found, buffer = registration.correspondences, io.BytesIO()
    np.savez_compressed(
        buffer,
        fixed_xy=found.fixed_xy,
        moving_xy=found.moving_xy,
        certainty=found.certainty,
        inlier=registration.inliers,
        residual_px=registration.residual_px,
        pixel_origin=np.array("corner"),
    )
    return buffer.getvalue()


def encode_qgis(registration: Registration) -> bytes:
    """QGIS 3.26 and later. Outliers are not enabled; dX, dY and residual are px of the moving image, y up."""
    fixed, moving = (_georef_of(facts) for facts in (registration.fixed, registration.moving))
    found = registration.correspondences
    error = np.zeros((len(found), 2))
    if registration.transform is not None:
        error = np.nan_to_num(registration.transform.inverse(found.fixed_xy) - found.moving_xy) * (1, -1)
    lines = [",".join(QGIS_COLUMNS)]
    if fixed and fixed.crs_wkt and not fixed.gcps:  # whose map coordinates are px
        lines.insert(0, "#CRS: " + " ".join(fixed.crs_wkt.split()))
    columns = zip(
        to_layer(found.fixed_xy, fixed), to_layer(found.moving_xy, moving), registration.inliers, error, strict=True
    )
    for map_xy, source_xy, enabled, (dx, dy) in columns:
        numbers = [*map_xy.tolist(), *source_xy.tolist(), int(enabled), float(dx), float(dy), math.hypot(dx, dy)]
        lines.append(",".join(map(repr, numbers)))
    return ("\n".join(lines) + "\n").encode()


POINTS_ENCODERS: dict[str, Callable[[Registration], bytes]] = {
    "csv": encode_csv,
    "json": encode_json,
    "npz": encode_npz,
    "points": encode_qgis,
}
"""kind, which is also the suffix -> content of the file."""


def _rows(registration: Registration) -> list[tuple]:
    found = registration.correspondences
    numbers = np.column_stack([found.fixed_xy, found.moving_xy, found.certainty, registration.residual_px])
    return [
        (*row[:5], bool(inlier), row[5] if math.isfinite(row[5]) else None)
        for row, inlier in zip(numbers.round(_DECIMALS).tolist(), registration.inliers, strict=True)
    ]


def _georef_of(facts: dict[str, Any]) -> Georef | None:
    """What QGIS finds in the file, where xmatch was told to ignore it, too."""
    georef = facts.get("georef") or facts.get("georef_ignored")
    return georef and Georef.from_dict(georef)
