"""The list of `--pairs`: a row a pair."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmatch.errors import InputError, UsageError

_COLUMNS = ("fixed", "moving", "output")
GIVEN = ("tie_points", "initial", "mask", "moving_mask", "roi", "check_points")
"""Further columns, which a header names: what `Given` says of one pair, in place of the command line's."""


@dataclass(frozen=True)
class PairRow:
    """One line of the list; paths are relative to the current directory, as on the command line."""

    fixed: str
    moving: str
    output: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    """Of `GIVEN`, what the row says."""
    problem: UsageError | None = None
    """What is wrong with it."""


def read_pairs(path: str) -> list[PairRow]:
    """The rows of a CSV with columns fixed, moving[, output]; a header may name them in any order, and `GIVEN`. A row
    that lacks a column, or has too many, says so in its `problem`.

    Args:
        path: "-" for stdin.

    Raises:
        InputError: the list cannot be read.
        UsageError: it is empty, or its header names other columns.
    """
    from xmatch.io.text_files import csv_rows, delimiter_of

    text = _read(path)
    lines = csv_rows(text, delimiter_of(text.split("\n"), (2, len(_COLUMNS) + len(GIVEN))), path)
    if not lines:
        raise UsageError("the list of pairs is empty", path=path, hint="lines of fixed,moving[,output]")
    columns: tuple[str, ...] = _COLUMNS
    header = tuple(cell.lower() for cell in lines[0][1])
    if {"fixed", "moving"} <= set(header):
        columns, lines = header, lines[1:]
        known = (*_COLUMNS, *GIVEN)
        if not set(columns) <= set(known) or len(set(columns)) < len(columns):
            raise UsageError(f"columns {','.join(columns)} are not of {','.join(known)}", path=path)
    return [_row(path, n, dict(zip(columns, cells, strict=False)), len(cells) > len(columns)) for n, cells in lines]


def _row(path: str, number: int, cells: dict[str, str], too_many: bool) -> PairRow:
    problem = None
    if too_many or not cells.get("fixed") or not cells.get("moving"):
        hint = "quote names that hold commas; --keep-going goes on without it"
        problem = UsageError(f"line {number} is not fixed,moving[,output]", path=path, hint=hint)
    given = {name: cells[name] for name in GIVEN if cells.get(name)}
    return PairRow(cells.get("fixed", ""), cells.get("moving", ""), cells.get("output") or None, given, problem)


def _read(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except (OSError, AttributeError) as error:  # stdin may be closed, and None
        reason = getattr(error, "strerror", None) or "standard input is closed"
        raise InputError(f"the list of pairs cannot be read: {reason}", path=path) from None
    from xmatch.io.text_files import decode_text

    try:
        # File names are bytes; those that are not UTF-8 pass through as Python carries them elsewhere.
        return decode_text(data, "surrogateescape")
    except UnicodeDecodeError as error:
        raise InputError(f"the list of pairs is no text: {error}", hint="save it as UTF-8", path=path) from None
