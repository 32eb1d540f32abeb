"""The curves of a results document."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xmatch.evaluation.chart import Axis, Chart, Line, chart
from xmatch.evaluation.scores import KINDS

MOST_POINTS = 400
"""More would not be seen."""


def charts(document: dict[str, Any]) -> list[Chart]:
    """Those for which the document has numbers."""
    drawn = [_cumulative(document), _against_time(document), *_sweeps(document)]
    drawn += [_verdicts(document, *which) for which in (RISK, RELIABILITY)]
    return [each for each in drawn if each is not None and each.lines]


def _cumulative(document: dict[str, Any]) -> Chart:
    kind = KINDS[document["kind"]]
    top = max(float(t) for part in document["matchers"].values() for t in (part["mean"] or {"auc": {"20": 0}})["auc"])

    def points(part: dict[str, Any]) -> list[tuple[float, float]]:
        related = [pair for pair in part["pairs"] if pair["related"]]
        errors = sorted(pair[kind.error] for pair in related if pair.get(kind.error) is not None)
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


def _against_time(document: dict[str, Any]) -> Chart | None:
    taken = {name: (part["mean"] or {}).get("seconds_per_pair") for name, part in document["matchers"].items()}
    known = [seconds for seconds in taken.values() if seconds]
    if not known:
        return None
    first = next(part["mean"] for part in document["matchers"].values() if part["mean"])
    threshold = list(first["success"])[min(2, len(first["success"]) - 1)]
    unit = KINDS[document["kind"]].unit

    def point(part: dict[str, Any]) -> list[tuple[float, float]]:
        mean = part["mean"] or {}
        return [(mean["seconds_per_pair"], mean["success"][threshold]["value"])] if mean.get("seconds_per_pair") else []

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


RISK = (
    "risk_coverage",
    ("coverage", "risk", 1.0),
    "Risk against coverage",
    "When only the surest alignments are accepted: share accepted, and share of these that are wrong. Low is good.",
    ("accepted, %", "wrong among them, %"),
)
RELIABILITY = (
    "reliability",
    ("predicted", "observed", 100.0),
    "Reliability",
    "What the verdict's probability says, and what happened. On the thin line it means what it says.",
    ("predicted, %", "right, %"),
)


def _verdicts(
    document: dict[str, Any], name: str, keys: tuple[str, str, float], title: str, note: str, labels: tuple[str, str]
) -> Chart:
    x_key, y_key, unit = keys

    def points(part: dict[str, Any]) -> list[tuple[float, float]]:
        curve = part["verdict"][name] or {x_key: [], y_key: []}
        return _thinned([(unit * x, unit * y) for x, y in zip(curve[x_key], curve[y_key], strict=True)])

    axes = (Axis(label, 0.0, 100.0) for label in labels)
    calibration = name == "reliability"
    return chart(title, note, *axes, _lines(document, points), diagonal=calibration, dots=calibration)


def _sweeps(document: dict[str, Any]) -> list[Chart]:
    found = []
    for factor, sweep in document.get("sweeps", {}).items():
        values = sweep["values"]
        # Scales and the like go by factors of two, and are as far apart as they are.
        log = min(values) > 0 and max(values) / min(values) >= 4
        shown = sweep["matchers"]
        lines = [
            Line(name, list(zip(values, shown[name], strict=True)), _is_control(part))
            for name, part in document["matchers"].items()
        ]
        low, high = (min(values), max(values)) if len(values) > 1 else (0.5 * values[0], 2 * values[0] + 1)
        note = f"Share of pairs with an error below {sweep['threshold']:g} {KINDS[document['kind']].unit}."
        x = Axis(sweep["label"], low, high, log)
        found.append(chart(f"Robustness: {factor}", note, x, Axis("success, %", 0, 100), lines, dots=True))
    return found


def _lines(document: dict[str, Any], points: Callable[[dict[str, Any]], list[tuple[float, float]]]) -> list[Line]:
    return [Line(name, points(part), _is_control(part)) for name, part in document["matchers"].items()]


def _is_control(part: dict[str, Any]) -> bool:
    return part["kind_of_method"] == "control"


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return points
    return [points[i] for i in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]
