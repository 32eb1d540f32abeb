"""The report of an adaptation as one HTML page: better or not first, then curves, then pairs before and after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xmatch.report.charts import COLOURS, Axis, Chart, Line, axis_of, chart
from xmatch.report.drawing import jpeg
from xmatch.report.numbers import number
from xmatch.report.templating import templates

CHARTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Held-out score, percent", "validation", {"score": "score"}),
    ("Threshold and pseudo-labels", "history", {
        "tau": "threshold \u03c4", "positive_share": "share of cells that are positives",
        "positive_right": "positives that are right, where the truth is known",
    }),
    ("Fields: true places that win", "history", {"right": "share of the pairs of a batch"}),
    ("Losses", "history", {"supervised": "labelled, equation (1)", "unsupervised": "unlabelled, equation (2)"}),
    ("Accuracy where the truth is known, share of cells", "known", {
        "within_3px": "within 3 px", "within_5px": "within 5 px",
    }),
)  # fmt: skip
"""Title, which rows, and column -> name of the curve."""

KNOWN = "held out, truth known"
"""Rows of the validation that the guard was not asked about."""


class Overlay(Protocol):
    """One held-out pair, (S, S) uint8 each."""

    @property
    def name(self) -> str: ...
    @property
    def fixed(self) -> np.ndarray: ...
    @property
    def moving(self) -> np.ndarray: ...
    @property
    def before(self) -> np.ndarray: ...
    @property
    def after(self) -> np.ndarray: ...


@dataclass(frozen=True)
class OverlayPictures:
    """One held-out pair as data URIs."""

    name: str
    fixed: str
    moving: str
    before: str
    after: str


def render_adaptation(
    document: dict[str, Any],
    history: Sequence[Mapping[str, Any]] = (),
    validation: Sequence[Mapping[str, Any]] = (),
    overlays: Iterable[Overlay] = (),
) -> str:
    """The page.

    Args:
        document: of the schema `xmatch.adapt/1`.
        history, validation: rows of the CSV files of the run, texts as they stand there; in front of those of the
            validation, with step 0, what the untouched network scores.
        overlays: held-out pairs before and after.

    Everything is inlined and the page forbids itself any request; every text is escaped.
    """
    environment = templates("xmatch.report", number=number)
    page = environment.get_template("adaptation.html").render(
        doc=document,
        charts=charts(history, validation),
        pictures=[_picture(overlay) for overlay in overlays],
        better=document["better"],
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def charts(history: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Those of `CHARTS` that have a curve."""
    rows = {
        "history": history,
        "validation": [row for row in validation if row.get("modalities") != KNOWN],
        "known": [row for row in validation if row.get("modalities") == KNOWN],
    }
    found = [curves(title, rows[source], names) for title, source, names in CHARTS]
    return [drawn for drawn in found if drawn is not None]


def curves(title: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Chart | None:
    """Curves over the steps, each named with its last value; None when no column has a number.

    Args:
        rows: with "step"; texts or numbers, empty where there is none.
        names: column -> name of its curve.
    """
    found = [(name, points) for column, name in names.items() if (points := _points(rows, column))]
    if not found:
        return None
    every = [point for _, points in found for point in points]
    lines = [
        Line(f"{name}: {number(points[-1][1])}", points, colour=place % COLOURS)
        for place, (name, points) in enumerate(found)
    ]
    x = Axis("step", 0.0, max(step for step, _ in every) or 1.0)
    return chart(title, "", x, axis_of("", (value for _, value in every)), lines)


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


def _picture(overlay: Overlay) -> OverlayPictures:
    whole = np.ones(overlay.fixed.shape, bool)
    fixed, moving, before, after = (
        jpeg(image, whole) for image in (overlay.fixed, overlay.moving, overlay.before, overlay.after)
    )
    return OverlayPictures(overlay.name, fixed, moving, before, after)
