"""Our own list of pairs: pairs.jsonl, or the same as pairs.csv.

A row has `fixed` and `moving` (paths relative to the list), `moving_to_fixed` (3 x 3) and `pixel_origin`: `corner`
when the first pixel's corner is (0, 0), `center` when its centre is. In CSV the matrix is its nine numbers, row by row,
with blanks between them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import from_centre_matrix
from xmatch.errors import InputError
from xmatch.evaluation.datasets.sample import DataSet, Sample, TransformTruth
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
    problem: str | None = None


def read_rows(path: Path) -> list[ManifestRow]:
    """All rows of a list; one that cannot be read has its `problem`, so that the others can still be run.

    Raises:
        InputError: the file cannot be read, or has no rows.
    """
    text = read_text(path)
    if path.suffix.lower() == ".csv":
        rows = [_row(number, cells, path.parent) for number, cells in enumerate(csv_records(text, path)[1])]
    else:
        rows = [_row(n, line, path.parent) for n, line in enumerate(text.split("\n")) if line.strip()]
    if not rows:
        raise InputError("a manifest without pairs", path=path)
    return rows


def _row(number: int, content: str | dict[str, Any], folder: Path) -> ManifestRow:
    try:
        cells = json.loads(content) if isinstance(content, str) else _with_matrix(content)
        fixed, moving = (os.path.normpath(os.path.join(folder, cells[key])) for key in ("fixed", "moving"))
        return ManifestRow(number, fixed, moving, _matrix(cells))
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


def _matrix(cells: dict[str, Any]) -> np.ndarray:
    """Raises ValueError when it is not an invertible map or does not say how it counts."""
    origin = cells["pixel_origin"]
    if origin not in ("center", "corner"):
        raise ValueError(f"pixel_origin {origin!r} is neither 'center' nor 'corner'")
    matrix = homography(np.array(cells["moving_to_fixed"], dtype=np.float64)).matrix
    return from_centre_matrix(matrix) if origin == "center" else matrix


def read(path: Path) -> list[Sample]:
    """The pairs of a list, or of the list in a folder; ids are "0000", "0001", ...

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
