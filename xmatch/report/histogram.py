"""The residual histogram, as rectangles of an SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, GAP = 360.0, 120.0, 1.0
TICK_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Bars:
    width: float
    height: float
    bars: list[tuple[float, float, float, float]]
    """(x, y, width, height) of each bin."""
    ticks: list[tuple[float, float]]
    """(x, residual in px)."""
    most: int
    """Count of the fullest bin."""


def histogram_bars(histogram: dict[str, Any]) -> Bars:
    edges, counts = histogram["edges_px"], histogram["counts"]
    span = edges[-1] - edges[0]
    most = max(counts)
    step = next((step for step in TICK_STEPS if span / step <= 5), span)

    def x(residual_px: float) -> float:
        return round((residual_px - edges[0]) / span * WIDTH, 2)

    def bar(low: float, high: float, count: int) -> tuple[float, float, float, float]:
        height = round(HEIGHT * count / most, 2)
        return x(low) + GAP / 2, HEIGHT - height, round(x(high) - x(low) - GAP, 2), height

    bars = [bar(low, high, count) for low, high, count in zip(edges, edges[1:], counts, strict=False)]
    ticks = [(x(edges[0] + i * step), edges[0] + i * step) for i in range(int(span / step + 1e-9) + 1)]
    return Bars(WIDTH, HEIGHT, bars, ticks, most)
