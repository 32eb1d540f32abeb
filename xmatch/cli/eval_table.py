"""What `xmatch eval` shows a person, on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


class Counter:
    """A progress bar on a terminal, silence elsewhere; called with each new prediction."""

    def __init__(self, total: int, quiet: bool) -> None:
        console = _console()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._task = self._progress.add_task("pairs", total=total)

    def __enter__(self) -> Counter:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def __call__(self, row: dict[str, Any]) -> None:
        self._progress.update(self._task, advance=1, description=escape(row["set"]))


def print_results(document: dict[str, Any], path: Path) -> None:
    console = _console()
    if document["mean"]:
        console.print(_table(document))
    for line in _verdict_lines(document["verdict"]):
        console.print(line)
    for failure in document["failures"][:10]:
        console.print(f"failed: {escape(failure['id'])}: {escape(failure['message'])}")
    if len(document["failures"]) > 10:
        console.print(f"... and {len(document['failures']) - 10} more")
    console.print(f"results: {escape(str(path))}", soft_wrap=True)


def _table(document: dict[str, Any]) -> Table:
    thresholds = list(document["mean"]["auc"])
    table = Table(title="Corner error of moving mapped onto fixed; 95 % intervals in the results file")
    table.add_column("set")
    for head in ("n", "failed", *(f"AUC@{t}" for t in thresholds), *(f"<{t} px %" for t in thresholds)):
        table.add_column(head, justify="right")
    for head in ("median px", "s/pair", "MiB"):
        table.add_column(head, justify="right")
    for name, row in [*document["sets"].items(), ("mean", document["mean"])]:
        if name == "mean":
            table.add_section()
        cells = [row["n"], row["failed"], *(row["auc"][t]["value"] for t in thresholds)]
        cells += [row["success"][t]["value"] for t in thresholds]
        cells += [row["median_error_px"], row["seconds_per_pair"], row["peak_memory_mib"]]
        table.add_row(escape(name), *map(_cell, cells))
    return table


def _verdict_lines(verdict: dict[str, Any]) -> list[str]:
    names = {
        "right_accepted": "right alignments accepted",
        "wrong_accepted": "wrong alignments accepted",
        "unrelated_accepted": "of them unrelated images",
    }
    lines = [f"{text}: {_share(verdict[name])}" for name, text in names.items() if verdict[name]["n"]]
    if verdict["roc"]:
        lines.append(
            f"ROC area {verdict['roc']['area']:.3f}; "
            f"calibration error {verdict['reliability']['expected_calibration_error']:.3f}"
        )
    return lines


def _share(counted: dict[str, Any]) -> str:
    low, high = counted["interval"]
    return f"{counted['value']:.1f} % ({counted['count']} of {counted['n']}; 95 %: {low:.1f} to {high:.1f})"


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def _console() -> Console:
    return Console(file=sys.stderr, highlight=False)
