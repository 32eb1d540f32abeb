"""The report of an adaptation as one HTML page: better or not first, then curves, then pairs before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmatch.report.adaptation_curves import Chart, chart
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


@dataclass(frozen=True)
class Picture:
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
    overlays: Iterable[Any] = (),
) -> str:
    """The page.

    Args:
        document: of the schema `xmatch.adapt/1`.
        history, validation: rows of the CSV files of the run, texts as they stand there; in front of those of the
            validation, with step 0, what the untouched network scores.
        overlays: with `name`, `fixed`, `moving`, `before` and `after`, (S, S) uint8.

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
    found = [chart(title, rows[source], names) for title, source, names in CHARTS]
    return [drawn for drawn in found if drawn is not None]


def _picture(overlay: Any) -> Picture:
    whole = np.ones(overlay.fixed.shape, bool)
    images = (jpeg(getattr(overlay, name), whole) for name in ("fixed", "moving", "before", "after"))
    return Picture(overlay.name, *images)
