"""Lines and dots in a frame, as numbers that an SVG takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 10.0, 40.0
"""Margins for the labels of the axes."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    label: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at `low` and 1 at `high`; values outside are drawn at the end."""
        low, high, value = (
            (math.log10(v) for v in (self.low, self.high, max(value, self.low)))
            if self.log
            else (
                self.low,
                self.high,
                value,
            )
        )
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        if self.log and self.high / self.low < 100:
            first, last = math.ceil(math.log2(self.low) - 1e-9), math.floor(math.log2(self.high) + 1e-9)
            return [2.0**k for k in range(first, last + 1)]
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [10.0**k for k in range(first, last + 1) if self.low <= 10.0**k <= self.high]
        raw = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Line:
    name: str
    points: Points
    dashed: bool = False
    """Controls are."""


@dataclass(frozen=True)
class Drawn:
    name: str
    dashed: bool
    path: str
    """Of the line; empty for dots alone."""
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    title: str
    note: str
    """One sentence on how to read it."""
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    """(place, text)."""
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Drawn, ...]
    guide: str = ""
    """Path of a thin line to compare with."""


def chart(
    title: str,
    note: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    *,
    dots: bool = False,
    joined: bool = True,
    diagonal: bool = False,
) -> Chart:
    """The chart of `lines`; with `dots` each point is marked, without `joined` no line goes from one to the next."""

    def xy(point: tuple[float, float]) -> tuple[float, float]:
        across = LEFT + x.place(point[0]) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y.place(point[1]) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    def path(points: Points) -> str:
        return "".join(f"{'L' if i else 'M'}{a} {b}" for i, (a, b) in enumerate(map(xy, points)))

    drawn = tuple(
        Drawn(line.name, line.dashed, path(line.points) if joined else "", tuple(map(xy, line.points)) if dots else ())
        for line in lines
        if line.points
    )
    return Chart(
        title,
        note,
        x.label,
        y.label,
        tuple((xy((tick, y.low))[0], f"{tick:g}") for tick in x.ticks()),
        tuple((xy((x.low, tick))[1], f"{tick:g}") for tick in y.ticks()),
        drawn,
        path([(x.low, y.low), (x.high, y.high)]) if diagonal else "",
    )
