"""What a dense matcher says of every cell of fixed, before any map is fitted to it: how far off, and how sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xmatch import metrics
from xmatch.correspondences import Correspondences
from xmatch.evaluation.prediction_rows import PredictionRow
from xmatch.evaluation.result_rows import CellNumbers, KindNumbers, PairResult
from xmatch.evaluation.truths import as_transform
from xmatch.io.rasters.source import Source
from xmatch.registration.options import RegisterOptions

THRESHOLDS_PX = (1.0, 3.0, 5.0)
"""Those of DKM and RoMa (PCK-1, -3, -5)."""
RIGHT_PX = 3.0
"""End-point error below which a cell counts as right, for the calibration of its certainty."""
LEAST_CELLS, LEAST_FILLED = 64, 0.1
"""Of a lattice: fewer cells, or less of it filled, are sparse points that share rows by chance."""


def dense_folder(predictions: Path) -> Path:
    """Where the cells of a file of predictions lie."""
    return predictions.with_suffix(".dense")


def dense_matches(fixed: Source, moving: Source, options: RegisterOptions) -> Correspondences | None:
    """The cells that the matcher places by itself, in px of the files; None when it is not a dense one.

    `register` hands on tie points that it found later, so the matcher is asked once more, alone.

    Raises:
        InputError: an image is too small or has no valid pixel, or the two do not overlap.
    """
    from xmatch.matchers.registry import load_plan
    from xmatch.registration.view_planning import frame_pair

    plan = load_plan(options.matcher, options.weights, options.device, options.companion_weights)
    if len(plan) > 1:  # it starts with keypoints: a second matching would only show that they are no lattice
        return None
    matcher = plan[0].build()
    frame = frame_pair(fixed, moving, options)
    found = matcher(frame.fixed, frame.moving, frame.within, seed=options.seed, threads=options.threads).correspondences
    if not is_lattice(found.fixed_xy):
        return None
    return frame.in_files(found)


def is_lattice(xy: np.ndarray) -> bool:
    """Whether (N, 2) positions are cells of a regular grid, holes allowed: that is how a dense matcher is known."""
    columns, rows = (len(np.unique(np.round(xy[:, axis], 2))) for axis in (0, 1))
    return len(xy) >= LEAST_CELLS and len(xy) >= LEAST_FILLED * columns * rows


def dense_numbers(row: PredictionRow, cells: Correspondences | None) -> CellNumbers:
    """End-point errors (moving px) of a pair's covisible cells, and how sure each was; empty when there are none.

    A cell is covisible when the truth leads it into moving. Cells that the matcher itself leaves out do not count.
    """
    truth = as_transform(row["truth"])
    if cells is None or truth is None or not row["related"] or "moving_size" not in row:
        return {}
    true_xy = truth.inverse(cells.fixed_xy)
    covisible = np.asarray(((true_xy >= 0) & (true_xy <= np.array(row["moving_size"]))).all(axis=1))
    errors = metrics.end_point_errors_px(cells.moving_xy, true_xy, covisible)
    found = metrics.dense_errors(errors, THRESHOLDS_PX)
    calibration = metrics.certainty_reliability(cells.certainty, cells.moving_xy, true_xy, covisible, RIGHT_PX)
    right = np.zeros(len(cells), bool)
    right[covisible] = errors < RIGHT_PX
    return {
        "end_point_error_px": found.mean_px,
        "median_end_point_error_px": found.median_px,
        "cells_below_percent": {f"{t:g}": value for t, value in zip(THRESHOLDS_PX, found.below, strict=True)},
        "covisible_cells": found.n,
        "certainty_calibration_error": calibration.expected_calibration_error,
        "cell_certainty": cells.certainty,
        "cell_right": right,
    }


def dense_summary(sets: Sequence[list[PairResult]]) -> KindNumbers:
    """Means over the pairs of each set that have covisible cells, and over sets; calibration pools all cells.

    `certainty_right` is the reliability curve: mean certainty of a bin -> share of its cells that are right.
    """
    known = [[pair for pair in pairs if pair.get("covisible_cells")] for pairs in sets]
    known = [pairs for pairs in known if pairs]
    if not known:
        return {}

    def mean(get: Callable[[PairResult], float]) -> float:
        return float(np.mean([np.mean([get(pair) for pair in pairs]) for pairs in known]))

    def below(key: str) -> float:
        return mean(lambda pair: pair["cells_below_percent"][key])

    everything = [pair for pairs in known for pair in pairs]
    certainty = np.concatenate([pair["cell_certainty"] for pair in everything])
    curve = metrics.reliability(certainty, np.concatenate([pair["cell_right"] for pair in everything]))
    return {
        "end_point_error_px": mean(lambda pair: pair["end_point_error_px"]),
        "median_end_point_error_px": mean(lambda pair: pair["median_end_point_error_px"]),
        "cells_below_percent": {key: below(key) for key in (f"{t:g}" for t in THRESHOLDS_PX)},
        "certainty_calibration_error": curve.expected_calibration_error,
        "certainty_right": {f"{p:.3f}": share for p, share in zip(curve.predicted, curve.observed, strict=True)},
    }
