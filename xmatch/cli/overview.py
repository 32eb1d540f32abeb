"""The end of a batch: a summary in one line, and a page with all pairs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmatch.cli.outputs import Writing

if TYPE_CHECKING:
    from xmatch.report import Previews
    from xmatch.report.overview import Entry

MOST_PICTURES = 500
"""Pairs that the page shows pictures of: with more it becomes too large to be opened."""


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
        self._replace = writing.overwrite or writing.skip_existing
        self._entries: list[Entry] = []

    def check(self) -> None:
        """Raise OutputError when the folder of the batch cannot be one. A row's own output concerns that row alone."""
        from xmatch.io.writing.atomic import check_target

        check_target(self._path, overwrite=True)

    def add(
        self,
        fixed: str,
        moving: str,
        line: dict[str, Any] | None,
        report: Path | None = None,
        previews: Previews | None = None,
    ) -> None:
        """A pair and how it ended; None as `line`: it was not tried."""
        from xmatch.report.overview import Entry, thumbnails

        pictures = thumbnails(previews) if previews and len(self._entries) < MOST_PICTURES else None
        shown = None if line is None else {name: line[name] for name in SHOWN if name in line}
        there = report if line is not None and "error" not in line else None
        self._entries.append(Entry(len(self._entries), fixed, moving, shown, there, pictures))

    @property
    def is_good(self) -> bool:
        """Whether every pair was tried and is trusted."""
        return all(entry.state == "trusted" for entry in self._entries)

    def finish(self, dry_run: bool) -> list[str]:
        """Write the page, and say what happened in lines."""
        from xmatch.report.overview import STATES, counted

        words = {**STATES, "trusted": "could be registered"} if dry_run else STATES
        parts = [f"{count} {words[state].lower()}" for state, count in counted(self._entries).items()]
        codes = Counter(e.line["exit_code"] for e in self._entries if e.state == "failed" and e.line)
        failed = f" (exit codes: {', '.join(f'{count} x {code}' for code, count in sorted(codes.items()))})"
        lines = [f"{len(self._entries)} pairs: {', '.join(parts)}{failed if codes else ''}"]
        if dry_run or self._writing.no_report:
            return lines
        return [*lines, self._write()]

    def _write(self) -> str:
        from xmatch.io.writing.atomic import atomic_write
        from xmatch.report.overview import render_overview

        if self._path.exists() and not self._replace:
            return f"{self._path} is that of an earlier run, and stays; --overwrite replaces it"
        text = render_overview(self._entries, self._title, self._path.parent)
        with atomic_write(self._path, overwrite=self._replace) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return f"wrote {self._path}"


SHOWN = ("ok", "exit_code", "error", "verdict")
"""What the page needs of a line; the rest of it may be large."""
