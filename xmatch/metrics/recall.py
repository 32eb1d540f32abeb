"""From errors to the shares of them below thresholds, and the area under that curve; percent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(errors: ArrayLike, thresholds: Sequence[float]) -> NDArray[np.float64]:
    """(T,) area under the recall curve from 0 up to each threshold, percent of the whole; NaN for no errors.

    The exact trapezoid of SuperGlue's `pose_auc` (Sarlin et al. 2020), which RoMa and MINIMA use too: the recall
    curve joins (0, 0) and (sorted error i, i / N) by straight lines and stays level after the last one.
    """
    ordered = np.sort(np.asarray(errors, dtype=np.float64))
    if not len(ordered):
        return np.full(len(thresholds), np.nan)
    recall = np.arange(len(ordered) + 1) / len(ordered)
    ordered = np.concatenate([[0.0], ordered])
    areas = []
    for threshold in thresholds:
        last = int(np.searchsorted(ordered, threshold))
        x = np.append(ordered[:last], threshold)
        y = np.append(recall[:last], recall[max(last - 1, 0)])
        areas.append(100.0 * np.trapezoid(y, x) / threshold)
    return np.array(areas)


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
