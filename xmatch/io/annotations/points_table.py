"""Tables with a point in each row: two columns are positions, the others stay as they are."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.errors import InputError
from xmatch.io.crs import LONGITUDE_LATITUDE
from xmatch.io.text_files import csv_rows, delimiter_of, read_text

PAIRS = (("x", "y"), ("x_px", "y_px"), ("moving_x", "moving_y"), ("lon", "lat"), ("longitude", "latitude"))
"""Names of the columns that are looked for, in this order, whatever their case."""


@dataclass(frozen=True, eq=False)
class PointsTable:
    """A CSV file, its delimiter a comma, semicolon or tab."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[int, int]
    """Of x and y."""
    delimiter: str
    xy: Floats
    crs: str | None

    @staticmethod
    def read(path: str | os.PathLike) -> PointsTable:
        """
        Raises:
            InputError: it cannot be read, has none of the `PAIRS`, or a row holds no position.
        """
        text = read_text(path)
        delimiter = delimiter_of(text.splitlines()[:20], (2, 10**6))
        (_, names), *rows = csv_rows(text, delimiter, path) or [(1, [""])]
        lower = [name.lower() for name in names]
        found = next((pair for pair in PAIRS if set(pair) <= set(lower)), None)
        if found is None:
            wanted = "; ".join(",".join(pair) for pair in PAIRS)
            raise InputError("has no columns of positions", hint=f"wanted in the first row: {wanted}", path=path)
        x, y = (lower.index(name) for name in found)
        xy = np.empty((len(rows), 2))
        for number, (line, cells) in enumerate(rows):
            try:
                xy[number] = float(cells[x]), float(cells[y])
            except (IndexError, ValueError):
                raise InputError(f"line {line} holds no position", path=path) from None
        if not len(rows):
            raise InputError("holds no point", path=path)
        crs = LONGITUDE_LATITUDE if found[0].startswith("lon") else None
        return PointsTable(tuple(names), tuple(tuple(cells) for _, cells in rows), (x, y), delimiter, xy, crs)

    def write(self, path: str | os.PathLike, xy: Floats, crs: str | None) -> None:
        """See `Annotations`; a table does not say its CRS."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.delimiter, lineterminator="\n")
            writer.writerow(self.names)
            for cells, place in zip(self.rows, xy.tolist(), strict=True):
                new = list(cells)
                for column, value in zip(self.columns, place, strict=True):
                    new[column] = f"{value:.9g}" if abs(value) < 1e4 else f"{value:.4f}"
                writer.writerow(new)
