"""From rows of a history to the paths of an SVG chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xmatch.report.numbers import number

WIDTH, HEIGHT = 560.0, 180.0
"""Of the area that curves are drawn in."""
TICKS = 4


@dataclass(frozen=True)
class Curve:
    name: str
    path: str
    last: str
    """Its last value, as printed."""


@dataclass(frozen=True)
class Chart:
    title: str
    curves: tuple[Curve, ...]
    levels: tuple[tuple[float, str], ...]
    """(y, text) of the horizontal lines."""
    steps: str
    """The last step, as printed."""


def chart(title: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Chart | None:
    """Curves over the steps; None when no column has a number.

    Args:
        rows: with "step"; texts or numbers, empty where there is none.
        names: column -> name of its curve.
    """
    points = {column: _points(rows, column) for column in names}
    points = {column: found for column, found in points.items() if found}
    if not points:
        return None
    every = [point for found in points.values() for point in found]
    last_step = max(step for step, _ in every) or 1.0
    low, high = (pick(value for _, value in every) for pick in (min, max))
    if high - low < 1e-9:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    curves = tuple(
        Curve(
            names[column],
            "M" + "L".join(f"{WIDTH * step / last_step:.1f} {y(value):.1f}" for step, value in found) + "h0",
            number(found[-1][1]),
        )
        for column, found in points.items()
    )
    values = [low + (high - low) * i / TICKS for i in range(TICKS + 1)]
    return Chart(title, curves, tuple((y(value), number(value)) for value in values), number(last_step))


def _points(rows: Sequence[Mapping[str, Any]], column: str) -> list[tuple[float, float]]:
    found = []
    for row in rows:
        try:
            step, value = float(row["step"]), float(row[column])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(value):
            found.append((step, value))
    return found
