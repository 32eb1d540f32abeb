"""Our own list of pairs: pairs.jsonl, or the same as pairs.csv.

A row has `fixed` and `moving` (paths relative to the list), `moving_to_fixed` (3 x 3) and `pixel_origin`: `corner`
when the first pixel's corner is (0, 0), `center` when its centre is. In CSV the matrix is its nine numbers, row by row,
with blanks between them. In JSON lines a pair that no matrix lays has `landmarks` instead, points that were marked in
both images, each as [moving x, moving y, fixed x, fixed y].
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import from_centre_matrix, from_centre_xy
from xmatch.datasets.sample import DataSet, Sample, TransformTruth
from xmatch.errors import InputError
from xmatch.geometry import homography
from xmatch.io.text_files import csv_records, read_text

NAMES = ("pairs.jsonl", "pairs.csv")


@dataclass(frozen=True, eq=False)
class ManifestRow:
    """One line of the list, or what is wrong with it."""

    number: int
    """From 0; in JSON lines, blank lines count too."""
    fixed: str = ""
    moving: str = ""
    moving_to_fixed: np.ndarray | None = None
    """(3, 3), between positions counted from corners."""
    landmarks: np.ndarray | None = None
    """(N, 4) x, y in moving and x, y in fixed, counted from corners; None where a matrix says it all."""
    problem: str | None = None


def read_rows(path: Path, pixel_origin: str | None = None) -> list[ManifestRow]:
    """All rows of a list; one that cannot be read has its `problem`, so that the others can still be run.

    Args:
        pixel_origin: of rows that do not say.

    Raises:
        InputError: the file cannot be read, or has no rows.
    """
    text = read_text(path)
    if path.suffix.lower() == ".csv":
        rows = [
            _row(number, cells, path.parent, pixel_origin) for number, cells in enumerate(csv_records(text, path)[1])
        ]
    else:
        lines = enumerate(text.split("\n"))
        rows = [_row(number, line, path.parent, pixel_origin) for number, line in lines if line.strip()]
    if not rows:
        raise InputError("a manifest without pairs", path=path)
    return rows


def _row(number: int, content: str | dict[str, Any], folder: Path, pixel_origin: str | None) -> ManifestRow:
    try:
        cells = json.loads(content) if isinstance(content, str) else _with_matrix(content)
        fixed, moving = (os.path.normpath(os.path.join(folder, cells[key])) for key in ("fixed", "moving"))
        # Neither may be there: then the matrix, which is usual, is what lacks.
        is_marked = cells.get("landmarks") is not None and cells.get("moving_to_fixed") is None
        origin = _origin(cells, pixel_origin)
        if is_marked:
            return ManifestRow(number, fixed, moving, landmarks=_landmarks(cells["landmarks"], origin))
        return ManifestRow(number, fixed, moving, _matrix(cells["moving_to_fixed"], origin))
    except json.JSONDecodeError as error:
        problem = f"not a line of JSON: {error}"
    except KeyError as error:
        problem = f"lacks the key {error}"
    except (ValueError, TypeError, RecursionError) as error:
        problem = str(error)
    return ManifestRow(number, problem=problem)


def _with_matrix(cells: dict[str, Any]) -> dict[str, Any]:
    """A row of CSV with its nine numbers as a matrix."""
    return cells | {"moving_to_fixed": np.array(cells["moving_to_fixed"].split(), dtype=np.float64).reshape(3, 3)}


def _origin(cells: dict[str, Any], otherwise: str | None) -> str:
    """How positions are counted; raises KeyError or ValueError when that is not said."""
    origin = cells["pixel_origin"] if otherwise is None else cells.get("pixel_origin", otherwise)
    if origin not in ("center", "corner"):
        raise ValueError(f"pixel_origin {origin!r} is neither 'center' nor 'corner'")
    return str(origin)


def _landmarks(values: Any, origin: str) -> np.ndarray:
    """Raises ValueError when they are no points."""
    found = np.array(values, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 4 or not len(found) or not np.isfinite(found).all():
        raise ValueError("landmarks are not a list of [moving x, moving y, fixed x, fixed y]")
    return from_centre_xy(found) if origin == "center" else found


def _matrix(values: Any, origin: str) -> np.ndarray:
    """Raises ValueError when it is not an invertible map."""
    matrix = homography(np.array(values, dtype=np.float64)).matrix
    return from_centre_matrix(matrix) if origin == "center" else matrix


def read(path: Path) -> list[Sample]:
    """The pairs of a list, or of the list in a folder, that have a matrix; ids are "0000", "0001", ...

    Raises:
        InputError: there is no list, or a row of it cannot be read.
    """
    if path.is_dir():
        found = [path / name for name in NAMES if (path / name).is_file()]
        if not found:
            raise InputError(f"no list of pairs in the folder: want {' or '.join(NAMES)}", path=path)
        path = found[0]
    rows = read_rows(path)
    for row in rows:
        if row.problem:
            raise InputError(f"row {row.number + 1}: {row.problem}", path=path)
    return [
        Sample(f"{row.number:04d}", "pairs", Path(row.fixed), Path(row.moving), TransformTruth(homography(matrix)))
        for row in rows
        if (matrix := row.moving_to_fixed) is not None
    ]


DATASET = DataSet(
    name="pairs",
    task="registration",
    layout="pairs.jsonl or pairs.csv: fixed, moving, moving_to_fixed (3 x 3), pixel_origin (corner or center)",
    source="your own pairs",
    read=read,
)
