"""The expected error place by place, saved beside predictions and judged."""

from __future__ import annotations

import numpy as np

from xmatch import metrics
from xmatch.coords import Floats
from xmatch.evaluation.prediction_rows import Cells, SavedErrorMap
from xmatch.geometry import Transform
from xmatch.result import ErrorMap


def saved_error_map(found: ErrorMap) -> SavedErrorMap:
    """JSON-ready, to four digits, which is more than is known of an error."""
    return {
        "origin_xy": list(found.origin_xy),
        "cell_px": list(found.cell_px),
        "ce90_px": _saved(found.ce90_px),
        "share": _saved(found.share),
        "matched_px": found.matched_px,
        "measures": {name: _saved(values) for name, values in found.measures.items()},
    }


def as_error_map(saved: SavedErrorMap) -> ErrorMap:
    """The saved map; what is extrapolated is not told."""
    ce90_px = _cells(saved["ce90_px"])
    return ErrorMap(
        (saved["origin_xy"][0], saved["origin_xy"][1]),
        (saved["cell_px"][0], saved["cell_px"][1]),
        ce90_px,
        np.zeros(ce90_px.shape, bool),
        _cells(saved["share"]),
        saved["matched_px"],
        measures={name: _cells(values) for name, values in saved["measures"].items()},
    )


def percent_within_cells(found: ErrorMap, estimate: Transform, truth: Transform, moving_xy: Floats) -> float | None:
    """Share of places (N, 2) of moving that `estimate` puts no further off than the expected error of the cell that
    they land in, percent; None where none lands in a cell."""
    landed = estimate(moving_xy)
    expected = found.at(landed)
    on = np.isfinite(expected)
    if not on.any():
        return None
    return float(100 * np.mean(metrics.distances_px(landed[on], truth(moving_xy[on])) <= expected[on]))


def _saved(values: Floats) -> Cells:
    return [[None if np.isnan(value) else float(f"{value:.4g}") for value in row] for row in values]


def _cells(saved: Cells) -> Floats:
    return np.array([[np.nan if value is None else value for value in row] for row in saved])
