"""What readers of data sets share: folders that must be there, tables of numbers, names with numbers in order."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from xmatch.errors import InputError
from xmatch.geometry import Transform, homography
from xmatch.io.text_files import csv_records, read_text

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".ppm", ".ndpi")


def need_folder(path: Path, name: str) -> Path:
    """`path`, when it is a folder.

    Raises:
        InputError: it is not.
    """
    if not path.is_dir():
        raise InputError(f"no folder there; {name} is read from the folder that it was unpacked to", path=path)
    return path


def numbers(path: Path, columns: int, rows: int | None = None) -> np.ndarray:
    """(rows, columns) float64 of a text file, separated by blanks or commas.

    Raises:
        InputError: the file is missing, or holds something else.
    """
    try:
        table = np.array([float(word) for word in re.split(r"[\s,]+", path.read_text().strip()) if word])
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as a table of numbers: {error}", path=path) from error
    if not table.size or table.size % columns or (rows is not None and table.size != rows * columns):
        raise InputError(f"want {rows or 'some'} rows of {columns} numbers, found {table.size} numbers", path=path)
    return table.reshape(-1, columns)


def csv_rows(path: Path, wanted: Collection[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, by the names in its first line.

    Raises:
        InputError: the file cannot be read, or lacks a column of `wanted`.
    """
    found, rows = csv_records(read_text(path), path)
    lacking = [name for name in wanted if name not in found]
    if lacking:
        raise InputError(f"lacks the columns {', '.join(lacking)}", path=path)
    for number, row in enumerate(rows, 1):
        if short := [name for name in wanted if name not in row]:
            raise InputError(f"row {number} ends before {', '.join(short)}", path=path)
    return rows


def projective(matrix: np.ndarray, path: Path) -> Transform:
    """The map that `path` states, between xmatch's positions.

    Raises:
        InputError: the matrix is not an invertible (3, 3).
    """
    try:
        return homography(matrix)
    except ValueError as error:
        raise InputError(str(error), path=path) from error


def image_of(folder: Path, stem: str, suffix: str) -> Path:
    """The image called `stem`, whatever its kind; with `suffix` when there is none."""
    there = (folder / f"{stem}{end}" for end in (suffix, *IMAGE_SUFFIXES))
    return next((path for path in there if path.is_file()), folder / f"{stem}{suffix}")


def natural(name: str) -> list[str | int]:
    """Key that sorts pair2 before pair10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
