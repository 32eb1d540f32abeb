"""`--pairs`: a list of pairs, one JSON line on stdout for each, in the order in which they end; an overview at the end.

A pair that fails and a pair that is not trusted both make the batch end with 8; their own codes stand in their
lines. Only a failure stops the batch, unless --keep-going: an untrusted pair is a result.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.cli.console import say
from xmatch.cli.extra_outputs import EXTRA_OUTPUTS
from xmatch.cli.one_pair import Settings, register_pair
from xmatch.cli.options import Verbosity
from xmatch.cli.outputs import Targets, default_output
from xmatch.cli.overview import Overview
from xmatch.cli.runtime import as_failure, emit, failure_document
from xmatch.errors import ExitCode, InputError, UsageError

if TYPE_CHECKING:
    from xmatch.report import Previews

_COLUMNS = ("fixed", "moving", "output")
_GIVEN = ("tie_points", "initial", "mask", "moving_mask", "roi", "check_points")
"""Further columns, which a header names: what `Given` says of one pair, in place of the command line's."""


@dataclass(frozen=True)
class PairRow:
    """One line of the list; paths are relative to the current directory, as on the command line."""

    fixed: str
    moving: str
    output: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    """Of `_GIVEN`, what the row says."""


def register_pairs(
    path: str,
    settings: Settings,
    talk: Verbosity,
    *,
    keep_going: bool,
    dry_run: bool,
    rows: list[PairRow] | None = None,
) -> ExitCode:
    """Register every pair of the list at `path` ("-": stdin), or of `rows`, which are named after `path` then."""
    settings.register_options()  # what is wrong for every pair is said once
    rows = read_pairs(path) if rows is None else rows
    jobs = [(row, _targets(row, settings)) for row in rows]
    _refuse_shared_targets(path, jobs)
    overview = Overview(path, settings.writing)
    overview.check()
    for index, (row, targets) in enumerate(jobs):
        said = replace(settings, given=replace(settings.given, **row.given))
        line, previews = _one(row, targets, said, dry_run)
        emit({"index": index, **line})
        overview.add(row.fixed, row.moving, line, targets.html, previews)
        say(talk, [f"[{index + 1}/{len(jobs)}] {row.moving}: {_word(line, dry_run)}"])
        if not (line["ok"] or line["exit_code"] == ExitCode.UNTRUSTED or keep_going) and index + 1 < len(jobs):
            say(talk, [f"stopped: {len(jobs) - index - 1} pairs were not tried; --keep-going tries them"])
            for other, _ in jobs[index + 1 :]:
                overview.add(other.fixed, other.moving, None)
            break
    say(talk, overview.finish(dry_run))
    return ExitCode.OK if overview.is_good else ExitCode.BATCH


def read_pairs(path: str) -> list[PairRow]:
    """The rows of a CSV with columns fixed, moving[, output]; a header may name them in any order, and `_GIVEN`.

    Raises:
        InputError: the list cannot be read.
        UsageError: a row lacks a column; says which.
    """
    from xmatch.io.text_files import csv_rows, delimiter_of

    text = _read(path)
    lines = csv_rows(text, delimiter_of(text.split("\n"), (2, len(_COLUMNS) + len(_GIVEN))), path)
    if not lines:
        raise UsageError("the list of pairs is empty", path=path, hint="lines of fixed,moving[,output]")
    columns: tuple[str, ...] = _COLUMNS
    header = tuple(cell.lower() for cell in lines[0][1])
    if {"fixed", "moving"} <= set(header):
        columns, lines = header, lines[1:]
        known = (*_COLUMNS, *_GIVEN)
        if not set(columns) <= set(known) or len(set(columns)) < len(columns):
            raise UsageError(f"columns {','.join(columns)} are not of {','.join(known)}", path=path)
    return [_row(path, n, dict(zip(columns, cells, strict=False)), len(cells) > len(columns)) for n, cells in lines]


def _row(path: str, number: int, cells: dict[str, str], too_many: bool) -> PairRow:
    if too_many or not cells.get("fixed") or not cells.get("moving"):
        raise UsageError(f"line {number} is not fixed,moving[,output]", path=path, hint="quote names that hold commas")
    given = {name: cells[name] for name in _GIVEN if cells.get(name)}
    return PairRow(cells["fixed"], cells["moving"], cells.get("output") or None, given)


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


def _targets(row: PairRow, settings: Settings) -> Targets:
    folder = settings.writing.output
    if any(getattr(settings.writing, name) is not None for name in ("report", *EXTRA_OUTPUTS)):
        raise UsageError("--report and further outputs name one file each", hint="leave them out of a batch")
    output = row.output or str(Path(folder or ".") / default_output(row.moving))
    return Targets.of(row.moving, settings.writing, output)


def _refuse_shared_targets(path: str, jobs: list[tuple[PairRow, Targets]]) -> None:
    """Two pairs that write one file: the second would fail, or worse, replace the first."""
    seen: dict[Path, int] = {}
    for index, (_, targets) in enumerate(jobs):
        name = targets.raster.absolute()
        if name in seen:
            raise UsageError(
                f"pairs {seen[name]} and {index} would both write {targets.raster}",
                path=path,
                hint="name outputs in a third column of --pairs",
            )
        seen[name] = index


def _one(row: PairRow, targets: Targets, settings: Settings, dry_run: bool) -> tuple[dict[str, Any], Previews | None]:
    """The JSON line of one pair, its exit code inside, and pictures of it. Signals alone leave a batch by another
    way."""
    try:
        if dry_run:
            from xmatch.cli.plan import plan

            return {"exit_code": 0, **plan(row.fixed, row.moving, targets, settings)}, None
        outcome = register_pair(row.fixed, row.moving, targets, settings)
        line = {"exit_code": int(outcome.exit_code), "skipped": outcome.skipped, **outcome.document}
        return line, outcome.previews
    except Exception as error:
        files = {"fixed": {"path": row.fixed}, "moving": {"path": row.moving}}
        return {**failure_document(as_failure(error)), **files}, None


def _word(line: dict[str, Any], dry_run: bool) -> str:
    if "error" in line:
        return f"failed ({line['exit_code']}): {line['error']['message']}"
    if dry_run:
        return f"would write {', '.join(line['files'])}"
    return "ok" if line["ok"] else f"not trusted: {line['verdict']['reason']}"
