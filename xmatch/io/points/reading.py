"""Correspondences out of files: our own CSV, JSON and NPZ, QGIS's `.points`, and what people type.

Positions are px, corner-counted, unless a file says otherwise (`pixel_origin` "centre"; in CSV, `first_centre` 0): they
are brought to corners then.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from xmatch.coords import CENTRE, from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.io.points.qgis import from_layer
from xmatch.io.text_files import csv_rows, read_json, read_text
from xmatch.raster import Georef

_POSITIONS = ("fixed_x", "fixed_y", "moving_x", "moving_y")
_UNKNOWN = {"certainty": 1.0, "inlier": 1.0, "residual_px": np.nan}


@dataclass(frozen=True)
class TiePoints:
    """Correspondences with what a file says of each."""

    correspondences: Correspondences
    inliers: np.ndarray
    """(N,) bool; True where the file does not say."""
    residual_px: np.ndarray
    """(N,) fixed px; NaN where the file does not say."""
    rows: tuple[int, ...]
    """Line, or number of the point in files without lines, from 1."""


def read_points(path: str | os.PathLike, fixed: Georef | None = None, moving: Georef | None = None) -> TiePoints:
    """Points from a .csv (comma, semicolon or tab), .json, .npz or QGIS .points file.

    A CSV needs the columns fixed_x, fixed_y, moving_x, moving_y, or just these four without a header.

    Args:
        path: the file.
        fixed: georeferencing of the fixed image, for .points.
        moving: georeferencing of the moving image, for .points.

    Raises:
        InputError: the file cannot be read, or a row of it is not a point.
    """
    suffix = Path(path).suffix.lower()
    try:
        if suffix == ".points":
            return _from_qgis(path, fixed, moving)
        return _READERS.get(suffix, _from_csv)(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
    except (ValueError, KeyError, IndexError, TypeError, EOFError, AttributeError, BadZipFile, zlib.error) as error:
        raise InputError(f"holds no points that xmatch knows: {error}", path=path) from error


def read_tie_points(
    path: str | os.PathLike,
    fixed_size: tuple[int, int],
    moving_size: tuple[int, int],
    fixed: Georef | None = None,
    moving: Georef | None = None,
) -> TiePoints:
    """Points that a person has set: all of them within both images, (width, height) px, and none set twice.

    Raises:
        InputError: as `read_points`; or a point lies outside or repeats a position, and in which row.
    """
    points = read_points(path, fixed, moving)
    found, rows = points.correspondences, points.rows
    for name, xy, size in (("fixed", found.fixed_xy, fixed_size), ("moving", found.moving_xy, moving_size)):
        outside = np.flatnonzero(~((xy >= 0) & (xy <= size)).all(axis=1))
        if len(outside):
            (x, y), (width, height) = xy[outside[0]], size
            message = f"row {rows[outside[0]]}: ({x:g}, {y:g}) lies outside the {name} image of {width} x {height} px"
            raise InputError(message, hint="positions are x, y in px from the top left corner", path=path)
        seen: dict[tuple[float, ...], int] = {}
        for row, position in zip(rows, map(tuple, xy.tolist()), strict=True):
            if position in seen:
                raise InputError(f"rows {seen[position]} and {row} have the same {name} position", path=path)
            seen[position] = row
    return points


def read_positions(path: str | os.PathLike, size: tuple[int, int]) -> np.ndarray:
    """(N, 2) px of FIXED, corner-counted: points that are to be sought elsewhere.

    A CSV has the columns x and y, or fixed_x and fixed_y (whatever others there are), or just these two without a
    header; JSON a list of points under `points`, each with these names; NPZ the array xy or fixed_xy.

    Args:
        size: (width, height) of the image that all must lie in, px.

    Raises:
        InputError: the file cannot be read, a row of it is no position, or lies outside, and which.
    """
    try:
        xy, rows, origin = _POSITION_READERS.get(Path(path).suffix.lower(), _positions_of_csv)(path)
        xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
    except (ValueError, KeyError, IndexError, TypeError, EOFError, AttributeError, BadZipFile, zlib.error) as error:
        raise InputError(f"holds no points that xmatch knows: {error}", path=path) from error
    if origin not in ("corner", "centre"):
        raise InputError(f"pixel_origin is {origin!r}; expected corner or centre", path=path)
    xy = from_centre_xy(xy) if origin == "centre" else xy
    outside = np.flatnonzero(~((xy >= 0) & (xy <= size)).all(axis=1))
    if len(outside):
        (x, y), (width, height) = xy[outside[0]], size
        message = f"row {rows[outside[0]]}: ({x:g}, {y:g}) lies outside the fixed image of {width} x {height} px"
        raise InputError(message, hint="positions are x, y in px from the top left corner", path=path)
    return xy


def _positions_of_csv(path: str | os.PathLike) -> tuple[Any, Sequence[int], str]:
    table = _Table.read(path, ("x", "y"))
    names = ("x", "y") if "x" in table.names else ("fixed_x", "fixed_y")
    columns = [table.numbers(name) for name in names]
    centres = set(table.numbers("first_centre").tolist()) if "first_centre" in table.names else set()
    return np.column_stack(columns), table.lines, "centre" if 0.0 in centres else "corner"


def _positions_of_json(path: str | os.PathLike) -> tuple[Any, Sequence[int], str]:
    document = read_json(path)
    points = document["points"]
    names = ("x", "y") if points and "x" in points[0] else ("fixed_x", "fixed_y")
    found = [[point[name] for name in names] for point in points]
    return found, range(1, len(found) + 1), document.get("pixel_origin", "corner")


def _positions_of_npz(path: str | os.PathLike) -> tuple[Any, Sequence[int], str]:
    with np.load(path, allow_pickle=False) as arrays:
        found = arrays["xy" if "xy" in arrays else "fixed_xy"]
        return found, range(1, len(found) + 1), str(arrays["pixel_origin"]) if "pixel_origin" in arrays else "corner"


_POSITION_READERS: dict[str, Callable[[str | os.PathLike], tuple[Any, Sequence[int], str]]] = {
    ".json": _positions_of_json,
    ".npz": _positions_of_npz,
}


def _from_csv(path: str | os.PathLike) -> TiePoints:
    table = _Table.read(path, _POSITIONS)
    columns = {name: table.numbers(name) for name in _POSITIONS}
    columns |= {name: table.numbers(name, unknown) for name, unknown in _UNKNOWN.items() if name in table.names}
    centres = set(table.numbers("first_centre").tolist()) if "first_centre" in table.names else set()
    if not (centres <= {0.0} or centres <= {CENTRE}):
        raise InputError(f"first_centre is {', '.join(map(str, centres))}; expected 0.5, or 0 throughout", path=path)
    return _points(path, columns, "centre" if 0.0 in centres else "corner", table.lines)


def _from_json(path: str | os.PathLike) -> TiePoints:
    document = read_json(path)
    points = document["points"]
    columns: dict[str, Any] = {name: [point[name] for point in points] for name in _POSITIONS}
    for name, unknown in _UNKNOWN.items():
        values = [point.get(name) for point in points]
        columns[name] = [unknown if value is None else value for value in values]
    return _points(path, columns, document.get("pixel_origin", "corner"))


def _from_npz(path: str | os.PathLike) -> TiePoints:
    with np.load(path, allow_pickle=False) as arrays:
        columns = {f"{side}_{axis}": arrays[f"{side}_xy"][:, i] for side in ("fixed", "moving") for i, axis in _AXES}
        columns |= {name: arrays[name] for name in _UNKNOWN if name in arrays}
        return _points(path, columns, str(arrays["pixel_origin"]) if "pixel_origin" in arrays else "corner")


def _from_qgis(path: str | os.PathLike, fixed: Georef | None, moving: Georef | None) -> TiePoints:
    table = _Table.read(path)
    source = ("sourceX", "sourceY") if "sourceX" in table.names else ("pixelX", "pixelY")
    map_xy, source_xy = (np.column_stack([table.numbers(name) for name in pair]) for pair in (("mapX", "mapY"), source))
    stated = next((line[5:].strip() for line in table.comments if line.startswith("#CRS:")), None)
    if stated and fixed and fixed.crs_wkt:
        from xmatch.io.crs import projected

        map_xy = projected(map_xy, stated, fixed.crs_wkt)
    positions = np.column_stack([from_layer(map_xy, fixed), from_layer(source_xy, moving)]).T
    columns = dict(zip(_POSITIONS, positions, strict=True))
    if "enable" in table.names:
        columns["inlier"] = table.numbers("enable")
    return _points(path, columns, "corner", table.lines)


_READERS: dict[str, Callable[[str | os.PathLike], TiePoints]] = {".json": _from_json, ".npz": _from_npz}
_AXES = tuple(enumerate("xy"))


def _points(path: Any, columns: dict[str, Any], origin: str, rows: list[int] | None = None) -> TiePoints:
    """Points from columns that are named as those of a CSV."""
    positions = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in _POSITIONS])
    extras = {
        name: np.asarray(columns.get(name, np.full(len(positions), unknown)), dtype=np.float64)
        for name, unknown in _UNKNOWN.items()
    }
    rows = list(range(1, len(positions) + 1)) if rows is None else rows
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(bad):
        raise InputError(f"row {rows[bad[0]]}: a position is not a finite number", path=path)
    if origin not in ("corner", "centre"):
        raise InputError(f"pixel_origin is {origin!r}; expected corner or centre", path=path)
    if origin == "centre":
        positions = from_centre_xy(positions)
    found = Correspondences(positions[:, :2], positions[:, 2:], extras["certainty"])
    return TiePoints(found, extras["inlier"] > 0, extras["residual_px"], tuple(rows))


@dataclass(frozen=True)
class _Table:
    """The cells of a text file."""

    path: Any
    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    """Line of each row, from 1."""
    comments: list[str]
    decimal_comma: bool

    @staticmethod
    def read(path: str | os.PathLike, names_without_header: tuple[str, ...] = ()) -> _Table:
        """Comma, semicolon or tab; a byte-order mark, comment lines and empty lines are skipped."""
        text = read_text(path)
        comments = [line.strip() for line in text.split("\n") if line.lstrip().startswith("#")]
        # Comments leave an empty line behind, so that lines keep their numbers.
        text = "\n".join("" if line.lstrip().startswith("#") else line for line in text.split("\n"))
        first = next((line for line in text.split("\n") if line.strip()), "")
        delimiter = next((mark for mark in ";\t" if mark in first), ",")
        numbered = csv_rows(text, delimiter, path)
        rows, lines = [cells for _, cells in numbered], [line for line, _ in numbered]
        names = list(names_without_header)
        if rows and not _is_number(rows[0][0]):
            names, rows, lines = rows[0], rows[1:], lines[1:]
        for line, row in zip(lines, rows, strict=True):
            if len(row) < len(names):
                raise InputError(f"row {line} has {len(row)} columns; expected {len(names)}", path=path)
        return _Table(path, names, rows, lines, comments, delimiter != ",")

    def numbers(self, name: str, unknown: float | None = None) -> np.ndarray:
        """(N,) the column of that name; empty cells are `unknown`, where that is allowed."""
        if name not in self.names:
            raise InputError(f"lacks the column {name}; it has {', '.join(self.names) or 'none'}", path=self.path)
        column = self.names.index(name)
        values = np.empty(len(self.rows))
        for i, row in enumerate(self.rows):
            cell = row[column].replace(",", ".") if self.decimal_comma else row[column]
            if unknown is not None and not cell:
                values[i] = unknown
            elif _is_number(cell):
                values[i] = float(cell)
            else:
                raise InputError(f"row {self.lines[i]}: {name} is {cell!r}, not a number", path=self.path)
        return values


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True
