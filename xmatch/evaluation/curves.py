"""The curves of a results document."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from xmatch.evaluation.rows import MethodResults, ResultsDocument
from xmatch.evaluation.scores import KINDS
from xmatch.report.charts import COLOURS, Axis, Chart, Line, chart

MOST_POINTS = 400
"""More would not be seen."""


def charts(document: ResultsDocument) -> list[Chart]:
    """Those for which the document has numbers."""
    drawn = [_cumulative(document), _against_time(document), *_sweeps(document)]
    drawn += [_risk(document), _reliability(document)]
    return [each for each in drawn if each is not None and each.lines]


def _cumulative(document: ResultsDocument) -> Chart:
    kind = KINDS[document["kind"]]
    means = [part["mean"] for part in document["matchers"].values()]
    top = max(float(t) for mean in means for t in (mean["auc"] if mean else ("20",)))

    def points(part: MethodResults) -> list[tuple[float, float]]:
        related = [pair for pair in part["pairs"] if pair["related"]]
        errors = sorted(error for pair in related if (error := pair.get(kind.error)) is not None)
        shown = [error for error in errors if error <= top]
        steps = [(error, 100.0 * (i + 1) / len(related)) for i, error in enumerate(shown)]
        return _thinned([(0.0, 0.0), *steps, (top, 100.0 * len(shown) / max(len(related), 1))])

    return chart(
        "Error, cumulative",
        "Share of pairs whose error is at most so large; all sets together. A control is dashed.",
        Axis(f"error, {kind.unit}", 0.0, top),
        Axis("pairs, %", 0.0, 100.0),
        _lines(document, points),
    )


def _against_time(document: ResultsDocument) -> Chart | None:
    means = [part["mean"] for part in document["matchers"].values() if part["mean"]]
    known = [seconds for mean in means if (seconds := mean["seconds_per_pair"])]
    if not known:
        return None
    threshold = list(means[0]["success"])[min(2, len(means[0]["success"]) - 1)]
    unit = KINDS[document["kind"]].unit

    def point(part: MethodResults) -> list[tuple[float, float]]:
        mean = part["mean"]
        if mean is None or not mean["seconds_per_pair"]:
            return []
        return [(mean["seconds_per_pair"], mean["success"][threshold]["value"])]

    low, high = 10.0 ** math.floor(math.log10(min(known))), 10.0 ** math.ceil(math.log10(max(known) * 1.01))
    return chart(
        "Accuracy against time",
        f"Share of pairs with an error below {threshold} {unit}, mean over sets, and seconds a pair.",
        Axis("s a pair", low, high, log=True),
        Axis("success, %", 0.0, 100.0),
        _lines(document, point),
        dots=True,
        joined=False,
    )


def _risk(document: ResultsDocument) -> Chart:
    def points(part: MethodResults) -> list[tuple[float, float]]:
        curve = part["verdict"]["risk_coverage"]
        return _thinned(list(zip(curve["coverage"], curve["risk"], strict=True))) if curve else []

    return chart(
        "Risk against coverage",
        "When only the surest alignments are accepted: share accepted, and share of these that are wrong. Low is good.",
        Axis("accepted, %", 0.0, 100.0),
        Axis("wrong among them, %", 0.0, 100.0),
        _lines(document, points),
    )


def _reliability(document: ResultsDocument) -> Chart:
    def points(part: MethodResults) -> list[tuple[float, float]]:
        curve = part["verdict"]["reliability"]
        if curve is None:
            return []
        return [(100.0 * x, 100.0 * y) for x, y in zip(curve["predicted"], curve["observed"], strict=True)]

    return chart(
        "Reliability",
        "What the verdict's probability says, and what happened. On the thin line it means what it says.",
        Axis("predicted, %", 0.0, 100.0),
        Axis("right, %", 0.0, 100.0),
        _lines(document, points),
        dots=True,
        diagonal=True,
    )


def _sweeps(document: ResultsDocument) -> list[Chart]:
    found = []
    for factor, sweep in document.get("sweeps", {}).items():
        values, shown = sweep["values"], sweep["matchers"]
        # Scales and the like go by factors of two, and are as far apart as they are.
        log = min(values) > 0 and max(values) / min(values) >= 4
        points = {
            name: [(x, y) for x, y in zip(values, shown[name], strict=True) if y is not None]
            for name in document["matchers"]
        }
        low, high = (min(values), max(values)) if len(values) > 1 else (0.5 * values[0], 2 * values[0] + 1)
        note = f"Share of pairs with an error below {sweep['threshold']:g} {KINDS[document['kind']].unit}."
        x, y = Axis(sweep["label"], low, high, log), Axis("success, %", 0, 100)
        found.append(chart(f"Robustness: {factor}", note, x, y, _named(document, points), dots=True))
    return found


def _lines(document: ResultsDocument, points: Callable[[MethodResults], list[tuple[float, float]]]) -> list[Line]:
    return _named(document, {name: points(part) for name, part in document["matchers"].items()})


def _named(document: ResultsDocument, points: dict[str, list[tuple[float, float]]]) -> list[Line]:
    """A line a method; a control is dashed."""
    colours = line_colours(document)
    return [
        Line(name, points[name], part["kind_of_method"] == "control", colours[name])
        for name, part in document["matchers"].items()
    ]


def line_colours(document: ResultsDocument) -> dict[str, int]:
    """Method -> its colour in all charts of the page."""
    return {name: place % COLOURS for place, name in enumerate(document["matchers"])}


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return points
    return [points[i] for i in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]
