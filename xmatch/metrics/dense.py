"""Warps that give every pixel a place, and how sure they are of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xmatch.metrics.distances import distances_px
from xmatch.metrics.recall import success_rate
from xmatch.metrics.verdicts import Reliability, reliability


def end_point_errors_px(warp_xy: np.ndarray, true_xy: np.ndarray, covisible: np.ndarray) -> np.ndarray:
    """(N,) |warp - truth| of the N covisible pixels in row order, px; infinity where the warp is not finite.

    Otte and Nagel 1994, ECCV (the end-point error of optical flow; Baker et al. 2011, IJCV 92).

    Args:
        warp_xy: (H, W, 2) where each pixel goes, px of the other image.
        true_xy: (H, W, 2), the same px.
        covisible: (H, W) bool: the truth is known, and both images show the point.
    """
    covisible = np.asarray(covisible, dtype=bool)
    return distances_px(np.asarray(warp_xy)[covisible], np.asarray(true_xy)[covisible])


class DenseErrors(NamedTuple):
    """How far a warp is off; NaN without covisible pixels."""

    mean_px: float
    """The average end-point error (AEPE)."""
    median_px: float
    below: np.ndarray
    """(T,) share of pixels strictly below each threshold, percent: PCK-1, -3, -5 of dense matching papers."""
    n: int
    """Covisible pixels."""


def dense_errors(errors_px: np.ndarray, thresholds_px: Sequence[float] = (1.0, 3.0, 5.0)) -> DenseErrors:
    """Summary of `end_point_errors_px` (N,): mean, median and, as DKM reports (Edstedt et al. 2023), 1, 3 and 5 px."""
    errors = np.asarray(errors_px, dtype=np.float64)
    mean, median = (float(of(errors)) if len(errors) else float("nan") for of in (np.mean, np.median))
    return DenseErrors(mean, median, np.array([success_rate(errors, t) for t in thresholds_px]), len(errors))


def certainty_reliability(
    certainty: np.ndarray,
    warp_xy: np.ndarray,
    true_xy: np.ndarray,
    covisible: np.ndarray,
    threshold_px: float = 3.0,
    known: np.ndarray | None = None,
    bins: int = 10,
) -> Reliability:
    """Whether a certainty is the chance that a pixel's match is right: its reliability curve, and by it the ECE.

    A pixel is right when it is covisible and its end-point error is below the threshold; where there is nothing to
    match the certainty should be low. Formulas: `reliability` (Guo et al. 2017).

    Args:
        certainty: (H, W) in [0, 1].
        warp_xy: (H, W, 2) px.
        true_xy: (H, W, 2) px; anything where not covisible.
        covisible: (H, W) bool.
        threshold_px: of a right match.
        known: (H, W) bool: whether a pixel is covisible is known; default everywhere. Others do not count.
        bins: of equal width.
    """
    covisible = np.asarray(covisible, dtype=bool)
    right = covisible & (distances_px(warp_xy, true_xy) < threshold_px)
    known = np.ones(covisible.shape, dtype=bool) if known is None else np.asarray(known, dtype=bool)
    return reliability(np.asarray(certainty)[known], right[known], bins)
