"""Points and tracks as CSV, JSON and NPZ, in px that are counted from the corner of the first pixel.

A CSV of points can be read as tie points. Its constant column `first_centre` says that the centre of the first pixel
lies at (0.5, 0.5), as in all CSV that xmatch writes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence

import numpy as np

from xmatch.coords import CENTRE
from xmatch.networks.matcha.config import Task
from xmatch.pointwise.points import PointMatches, TrackedFrame

POINT_COLUMNS = ("point", "fixed_x", "fixed_y", "moving_x", "moving_y", "certainty", "return_px", "visible")
TRACK_COLUMNS = ("point", "frame", "x", "y", "visible", "certainty")
POINTS_SCHEMA = "xmatch.point-matches/1"
TRACKS_SCHEMA = "xmatch.tracks/1"
_DECIMALS = 6


def encode_points(matches: PointMatches, kind: str, task: Task, matcher: str) -> bytes:
    """One row a point.

    Args:
        kind: "csv", "json" or "npz".
    """
    columns = (*matches.fixed_xy.T, *matches.moving_xy.T, matches.certainty, matches.return_px)
    numbers = np.column_stack(columns).round(_DECIMALS).tolist()
    rows = [(i, *row, int(seen)) for i, (row, seen) in enumerate(zip(numbers, matches.visible, strict=True))]
    if kind == "npz":
        names = ("fixed_xy", "moving_xy", "certainty", "return_px", "visible")
        return _npz({name: getattr(matches, name) for name in names})
    told = {
        "schema": POINTS_SCHEMA,
        "task": task,
        "matcher": matcher,
        "pixel_origin": "corner",
        "count": len(rows),
        "points": _dicts(POINT_COLUMNS, [(*row[:-1], bool(row[-1])) for row in rows]),
    }
    return _ENCODED[kind](POINT_COLUMNS, rows, told)


def encode_tracks(points_xy: np.ndarray, frames: Sequence[TrackedFrame], kind: str, matcher: str) -> bytes:
    """One row a point and frame, frame after frame; JSON and NPZ name the frames and give the points themselves, too.

    Args:
        kind: "csv", "json" or "npz".
    """
    count = len(points_xy)
    xy = np.stack([frame.xy for frame in frames], 1)
    visible = np.stack([frame.visible for frame in frames], 1)
    certainty = np.stack([frame.certainty for frame in frames], 1)
    names = [frame.frame.name for frame in frames]
    if kind == "npz":
        arrays = {"points_xy": points_xy, "xy": xy, "visible": visible, "certainty": certainty, "frames": names}
        return _npz(arrays)
    rounded, sure = xy.round(_DECIMALS).tolist(), certainty.round(_DECIMALS).tolist()
    rows = [
        (point, t, *rounded[point][t], int(visible[point, t]), sure[point][t])
        for t in range(len(frames))
        for point in range(count)
    ]
    told = {
        "schema": TRACKS_SCHEMA,
        "task": "temporal",
        "matcher": matcher,
        "pixel_origin": "corner",
        "frames": names,
        "points": points_xy.round(_DECIMALS).tolist(),
        "count": len(rows),
        "tracks": _dicts(TRACK_COLUMNS, [(*row[:4], bool(row[4]), row[5]) for row in rows]),
    }
    return _ENCODED[kind](TRACK_COLUMNS, rows, told)


def _dicts(columns: tuple[str, ...], rows: list[tuple]) -> list[dict]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _csv(columns: tuple[str, ...], rows: list[tuple], told: dict) -> bytes:
    lines = [(*columns, "first_centre"), *((*row, CENTRE) for row in rows)]
    return "".join(",".join(map(str, line)) + "\n" for line in lines).encode()


def _json(columns: tuple[str, ...], rows: list[tuple], told: dict) -> bytes:
    return (json.dumps(told, allow_nan=False) + "\n").encode()


_ENCODED: dict[str, Callable[[tuple[str, ...], list[tuple], dict], bytes]] = {"csv": _csv, "json": _json}


def _npz(arrays: dict) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, pixel_origin=np.array("corner"))
    return buffer.getvalue()
