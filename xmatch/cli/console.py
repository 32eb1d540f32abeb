"""Verbosity on stderr: lines, and a progress bar on a terminal only."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from xmatch.cli.options import Verbosity

Progress = Callable[[str, float], None]


def say(talk: Verbosity, lines: Iterable[str]) -> None:
    """Plain lines: never wrapped, no control codes, so that logs and narrow terminals read the same."""
    if talk.quiet or sys.stderr is None:
        return
    with contextlib.suppress(OSError):
        for line in lines:
            print(printable(line), file=sys.stderr)


def printable(line: str) -> str:
    """`line` with newlines and control characters, as file names may hold, written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


@contextlib.contextmanager
def progress_bar(talk: Verbosity) -> Iterator[Progress | None]:
    """A callback for `register`, drawing a bar; None where stderr is no terminal that can draw one."""
    if talk.quiet or not _can_draw():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=None), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("start", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)


def _can_draw() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
