"""From errors to the shares of them below thresholds, and the area under that curve; percent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(errors: ArrayLike, thresholds: Sequence[float]) -> NDArray[np.float64]:
    """(..., T) area under the recall curve of errors (..., N) from 0 up to each threshold, percent of the whole; NaN
    for no errors.

    The exact trapezoid of SuperGlue's `pose_auc` (Sarlin et al. 2020), which RoMa and MINIMA use too: the recall
    curve joins (0, 0) and (sorted error i, i / N) by straight lines and stays level after the last one.
    """
    ordered = np.sort(np.asarray(errors, dtype=np.float64), axis=-1)
    *many, count = ordered.shape
    if not count:
        return np.full((*many, len(thresholds)), np.nan)
    ordered = np.concatenate([np.zeros((*many, 1)), ordered], axis=-1)
    areas = []
    for threshold in thresholds:
        below = ordered < threshold
        widths = np.diff(np.where(below, ordered, threshold), append=threshold, axis=-1)
        # Between two errors below the threshold the curve rises by 1 / N; after the last one it stays level.
        rises = np.concatenate([below[..., 1:], np.zeros((*many, 1), bool)], axis=-1)
        heights = (np.arange(count + 1) + 0.5 * rises) / count
        areas.append(100.0 * (widths * heights).sum(axis=-1) / threshold)
    return np.stack(areas, axis=-1)


def success_rate(errors: ArrayLike, threshold: float) -> float:
    """Share of errors below `threshold`, percent; NaN for no errors."""
    values = np.asarray(errors, dtype=np.float64)
    return float(100.0 * (values < threshold).mean()) if len(values) else float("nan")


def shares_up_to(errors: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """(T,) share of errors at most each threshold, percent; NaN for no errors.

    Published codes of matching accuracy and PCK count an error that equals the threshold; those of success rates
    (`success_rate`) do not.
    """
    values, limits = np.asarray(errors, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    if not len(values):
        return np.full(len(limits), np.nan)
    return 100.0 * np.searchsorted(np.sort(values), limits, side="right") / len(values)
