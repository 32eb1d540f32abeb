"""The course of a run: a CSV file, and TensorBoard's where asked for."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from xmatch.errors import UsageError
from xmatch.io.writing.atomic import atomic_write

Row = dict[str, float | int | str]


class History:
    """Rows of numbers, one a log interval, appended to a CSV file.

    Args:
        path: the CSV file; rows from step `first_step` on are cut off, since they will come again.
        first_step: number of steps that are done.
        tensorboard: a folder for event files, or None.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
    """

    def __init__(self, path: Path, first_step: int, tensorboard: Path | None = None) -> None:
        self._path = path
        self._columns: list[str] = []
        kept = [row for row in _read(path) if int(row["step"]) <= first_step] if first_step else []
        if kept:
            self._columns = list(kept[0])
            self._write_anew(kept)
        else:
            path.unlink(missing_ok=True)
        self._events = _event_writer(tensorboard, first_step) if tensorboard else None

    def add(self, row: Row) -> None:
        """Append a row with a "step"; what no row before had becomes a column."""
        more = [name for name in row if name not in self._columns]
        if more:
            self._columns += more
            self._write_anew(_read(self._path))
        with open(self._path, "a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)
        if self._events is not None:
            # A row that is about one kind of thing names it in a text; the curves of the kinds stay apart.
            group = "/".join([self._path.stem, *(value for value in row.values() if isinstance(value, str))])
            for name, value in row.items():
                if name != "step" and not isinstance(value, str):
                    self._events.add_scalar(f"{group}/{name}", value, int(row["step"]))

    def _write_anew(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self._path, overwrite=True) as temporary:
            Path(temporary).write_text(text.getvalue(), encoding="utf-8", newline="")

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


def _read(path: Path) -> list[dict[str, str]]:
    """Complete rows; a killed process may have left half a line at the end."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    rows = csv.DictReader(io.StringIO(whole))
    return [row for row in rows if str(row.get("step", "")).isdigit() and None not in row.values()]


def _event_writer(folder: Path, first_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "tensorboard is asked for and not installed", hint="pip install 'xmatch[train]', or tensorboard: false"
        ) from None
    return SummaryWriter(os.fspath(folder), purge_step=first_step + 1)
