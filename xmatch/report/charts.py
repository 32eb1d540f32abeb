"""Charts of all pages: lines, dots and bars in one frame, as numbers that templates/chart.html draws as an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 10.0, 40.0
"""Margins for the labels of the axes."""
BAR_GAP = 1.0
"""Between two bars."""
COLOURS = 8
"""Colours of lines in page.css; after so many lines they come again."""
ABOUT_TICKS = 5
"""Of a linear axis: a few more or fewer, so that they stand at round numbers."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    """It counts: no tick stands between whole numbers."""

    def place(self, value: float) -> float:
        """0 at `low` and 1 at `high`; values outside are drawn at the end."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = (math.log10(v) for v in (low, high, max(value, low)))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        if self.log and self.high / self.low < 100:
            first, last = math.ceil(math.log2(self.low) - 1e-9), math.floor(math.log2(self.high) + 1e-9)
            return [2.0**k for k in range(first, last + 1)]
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [10.0**k for k in range(first, last + 1) if self.low <= 10.0**k <= self.high]
        raw = (self.high - self.low) / ABOUT_TICKS
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * (1 - 1e-9))
        if self.whole:
            step = max(1.0, float(math.ceil(step)))
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_of(label: str, values: Iterable[float]) -> Axis:
    """From the least to the greatest of the values; one value alone stands in the middle."""
    known = list(values)
    low, high = min(known), max(known)
    if high - low < 1e-9:
        half = 0.5 * (abs(low) or 1)
        low, high = low - half, high + half
    return Axis(label, low, high)


@dataclass(frozen=True)
class Line:
    name: str
    points: Points
    dashed: bool = False
    """Controls are."""
    colour: int = 0
    """Below `COLOURS`."""


@dataclass(frozen=True)
class Bar:
    low: float
    """Where it begins and ends on the x axis."""
    high: float
    value: float


@dataclass(frozen=True)
class DrawnLine:
    name: str
    dashed: bool
    colour: int
    path: str
    """Of the line; empty for dots alone."""
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class DrawnBar:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    title: str
    note: str
    """One sentence on how to read it; may be empty."""
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    """(place, text)."""
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[DrawnLine, ...]
    bars: tuple[DrawnBar, ...] = ()
    guide: str = ""
    """Path of a thin line to compare with."""


def chart(
    title: str,
    note: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line] = (),
    *,
    bars: Sequence[Bar] = (),
    dots: bool = False,
    joined: bool = True,
    diagonal: bool = False,
) -> Chart:
    """The chart of `lines` and `bars`; with `dots` each point is marked, without `joined` no line goes from one to the
    next. A line of one point is always a dot."""

    def xy(point: tuple[float, float]) -> tuple[float, float]:
        across = LEFT + x.place(point[0]) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y.place(point[1]) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    def path(points: Points) -> str:
        return "".join(f"{'L' if i else 'M'}{a} {b}" for i, (a, b) in enumerate(map(xy, points)))

    def line(each: Line) -> DrawnLine:
        marked = tuple(map(xy, each.points)) if dots or len(each.points) == 1 else ()
        return DrawnLine(each.name, each.dashed, each.colour, path(each.points) if joined else "", marked)

    def bar(each: Bar) -> DrawnBar:
        (left, top), (right, bottom) = xy((each.low, each.value)), xy((each.high, y.low))
        width = round(max(right - left - BAR_GAP, 0.1), 1)
        return DrawnBar(round(left + BAR_GAP / 2, 1), top, width, round(bottom - top, 1))

    return Chart(
        title,
        note,
        x.label,
        y.label,
        tuple((xy((tick, y.low))[0], _tick_text(tick)) for tick in x.ticks()),
        tuple((xy((x.low, tick))[1], _tick_text(tick)) for tick in y.ticks()),
        tuple(line(each) for each in lines if each.points),
        tuple(bar(each) for each in bars),
        path([(x.low, y.low), (x.high, y.high)]) if diagonal else "",
    )


def _tick_text(value: float) -> str:
    """With a true minus sign; sums of steps may miss 0 by a hair."""
    return f"{0.0 if abs(value) < 1e-12 else value:g}".replace("-", "\u2212")
