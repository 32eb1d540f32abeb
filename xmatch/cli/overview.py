"""The end of a batch: a summary in one line, and a page with all pairs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xmatch.cli.outputs import Writing
from xmatch.cli.pairs_list import PairRow

if TYPE_CHECKING:
    from xmatch.report import Previews
    from xmatch.report.document_types import RegistrationDocument
    from xmatch.report.footprints import Footprint
    from xmatch.report.overview import Entry

MOST_PICTURES = 500
"""Pairs that the page shows pictures of: with more it becomes too large to be opened."""
KEPT = ("ok", "exit_code", "error", "verdict", "skipped")
"""What the page needs of a line; the rest of it may be large."""


@dataclass(frozen=True)
class Shown:
    """What the page shows of a pair besides its line; made where the pair is registered."""

    pictures: tuple[str, str] | None = None
    """`xmatch.report.overview.thumbnails`."""
    footprint: Footprint | None = None

    @staticmethod
    def of(document: RegistrationDocument, previews: Previews | None) -> Shown:
        from xmatch.report.footprints import footprint
        from xmatch.report.overview import thumbnails

        return Shown(None if previews is None else thumbnails(previews), footprint(document))


class Listed(Protocol):
    """A pair of the list, tried or not."""

    @property
    def index(self) -> int: ...

    @property
    def row(self) -> PairRow: ...


class Overview:
    """
    Args:
        listed: the list of pairs, "-" for stdin; the page is named after it.
        writing: its `output` is the folder of the batch.
    """

    def __init__(self, listed: str, writing: Writing) -> None:
        self._title = "pairs" if listed == "-" else Path(listed).stem
        self._writing = writing
        self._path = Path(writing.output or ".") / f"{self._title}.overview.html"
        self._entries: dict[int, Entry] = {}

    def check(self) -> None:
        """Raise OutputError when the folder of the batch cannot be one. A row's own output concerns that row alone."""
        from xmatch.io.writing.atomic import check_target

        check_target(self._path, overwrite=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the list's name in the folder against other runs.

        Raises:
            OutputError: another run is at work on it.
        """
        from xmatch.io.writing.atomic import held

        with held(self._path.with_name(f"{self._title}.batch"), "another run is at work on this list in this folder"):
            yield

    def add(
        self, index: int, row: PairRow, line: Mapping[str, Any] | None, report: Path | None, shown: Shown = Shown()
    ) -> None:
        """A pair and how it ended; None as `line`: it was not tried."""
        from xmatch.report.overview import Entry

        kept = None if line is None else {name: line[name] for name in KEPT if name in line}
        there = report if line is not None and "error" not in line else None
        self._entries[index] = Entry(index, row.fixed, row.moving, kept, there, shown.pictures, shown.footprint)

    @property
    def is_good(self) -> bool:
        """Whether every pair was tried and is trusted."""
        return all(entry.state == "trusted" for entry in self._entries.values())

    def finish(self, dry_run: bool, listed: Iterable[Listed]) -> list[str]:
        """Write the page, and say what happened in lines.

        Args:
            listed: all pairs of the list; those that were not added were not tried.
        """
        from xmatch.report.overview import STATES, counted

        for item in listed:
            if item.index not in self._entries:
                self.add(item.index, item.row, None, None)
        entries = [self._entries[index] for index in sorted(self._entries)]
        words = {**STATES, "trusted": "could be registered"} if dry_run else STATES
        parts = [f"{count} {words[state].lower()}" for state, count in counted(entries).items()]
        codes = Counter(e.line["exit_code"] for e in entries if e.state == "failed" and e.line)
        failed = f" (exit codes: {', '.join(f'{count} x {code}' for code, count in sorted(codes.items()))})"
        skipped = sum(bool(e.line and e.line.get("skipped")) for e in entries)
        again = f"; {skipped} of them by an earlier run" if skipped else ""
        lines = [f"{len(entries)} pairs: {', '.join(parts)}{failed if codes else ''}{again}"]
        if dry_run or self._writing.no_report:
            return lines
        return [*lines, self._write(entries, skipped > 0)]

    def _write(self, entries: list[Entry], goes_on: bool) -> str:
        from xmatch.io.writing.atomic import atomic_write
        from xmatch.report.overview import render_overview

        replaces = self._writing.overwrite or self._writing.skip_existing or goes_on
        if self._path.exists() and not replaces:
            return f"{self._path} is that of an earlier run, and stays; --overwrite replaces it"
        text = render_overview(entries, self._title, self._path.parent)
        with atomic_write(self._path, overwrite=replaces) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return f"wrote {self._path}"
