"""What `xmatch eval` shows a person, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from xmatch.evaluation.rows import CountedShare, Prediction, ResultsDocument, VerdictNumbers
from xmatch.evaluation.tables import TextTable, tables

LOG_WIDTH = 160


class Counter:
    """A progress bar on a terminal, silence elsewhere."""

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

    def of(self, matcher: str) -> Callable[[Prediction], None]:
        """What to call with each new prediction of a matcher."""

        def count(row: Prediction) -> None:
            self._progress.update(self._task, advance=1, description=escape(f"{matcher}: {row['set']}"))

        return count


def print_results(document: ResultsDocument, path: Path) -> None:
    console = _console()
    for table in tables(document, intervals=False):
        console.print(_drawn(table))
    for name, part in document["matchers"].items():
        if part["kind_of_method"] == "matcher":
            for line in _verdict_lines(part["verdict"]):
                console.print(f"{escape(name)}: {line}")
    for failure in document["failures"][:10]:
        said = f"failed: {failure['matcher']}: {failure['id']}: {failure['message']}"
        console.print(escape(said))
    if len(document["failures"]) > 10:
        console.print(f"... and {len(document['failures']) - 10} more")
    console.print(f"results: {escape(str(path))}", soft_wrap=True)


def _drawn(found: TextTable) -> Table:
    table = Table(title=escape(found.title))
    for place, head in enumerate(found.heads):
        table.add_column(head, justify="left" if place == 0 else "right")
    for row in found.rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _verdict_lines(verdict: VerdictNumbers) -> list[str]:
    shares = {
        "right alignments accepted": verdict["right_accepted"],
        "wrong alignments accepted": verdict["wrong_accepted"],
        "of them unrelated images": verdict["unrelated_accepted"],
    }
    lines = [f"{text}: {_share(share)}" for text, share in shares.items() if share["n"]]
    if verdict["roc"] and verdict["reliability"]:
        lines.append(
            f"ROC area {verdict['roc']['area']:.3f}; "
            f"calibration error {verdict['reliability']['expected_calibration_error']:.3f}"
        )
    return lines


def _share(counted: CountedShare) -> str:
    low, high = counted["interval"]
    return f"{counted['value']:.1f} % ({counted['count']} of {counted['n']}; 95 %: {low:.1f} to {high:.1f})"


def _console() -> Console:
    # Logs do not wrap; a terminal does.
    wide = None if sys.stderr.isatty() else LOG_WIDTH
    return Console(file=sys.stderr, highlight=False, width=wide)
