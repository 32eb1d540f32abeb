"""How many of the matches are right, before any transform is estimated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmatch.geometry import Transform
from xmatch.metrics.distances import distances_px
from xmatch.metrics.recall import shares_up_to

EPIPOLAR_THRESHOLD = 5e-4
"""Of `epipolar_errors`, for a match to be right: SuperGlue, Sarlin et al. 2020. MegaDepth takes 1e-4 in
LoFTR (Sun et al. 2021)."""


def matching_errors_px(fixed_xy: np.ndarray, moving_xy: np.ndarray, truth: Transform) -> np.ndarray:
    """(N,) |truth(moving_xy) - fixed_xy|, fixed px; infinity where the truth is not defined. Both are (N, 2) px."""
    return distances_px(truth(moving_xy), fixed_xy)


def mean_matching_accuracy(
    errors_px: Sequence[np.ndarray], thresholds_px: Sequence[float] = tuple(range(1, 11))
) -> np.ndarray:
    """(T,) share of a pair's matches with an error of at most each threshold, meant over pairs, percent.

    D2-Net, Dusmanu et al. 2019 (MMA on HPatches): every pair weighs the same, and one without matches
    counts as 0. NaN for no pairs.

    Args:
        errors_px: one (N_p,) array a pair, from `matching_errors_px`.
        thresholds_px: T numbers.
    """
    pairs = [
        shares_up_to(errors, thresholds_px) if len(errors) else np.zeros(len(thresholds_px)) for errors in errors_px
    ]
    return np.mean(pairs, axis=0) if pairs else np.full(len(thresholds_px), np.nan)


def epipolar_errors(
    fixed_xy: np.ndarray,
    moving_xy: np.ndarray,
    fixed_intrinsics: np.ndarray,
    moving_intrinsics: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> np.ndarray:
    """(N,) squared symmetric epipolar distances in normalised image coordinates (a pure number).

    With x = K^-1 (u, v, 1) in either image, E = [t]x R and l = E x_fixed, m = E^T x_moving:
    (x_moving . E x_fixed)^2 (1 / (l_1^2 + l_2^2) + 1 / (m_1^2 + m_2^2)).
    Hartley and Zisserman 2004, equation 11.10; SuperGlue's `compute_epipolar_error`.

    Args:
        fixed_xy: (N, 2) px.
        moving_xy: (N, 2) px.
        fixed_intrinsics: (3, 3).
        moving_intrinsics: (3, 3).
        rotation: (3, 3), fixed's camera -> moving's.
        translation: (3,): X_moving = rotation X_fixed + translation; its length does not matter.
    """
    x, y, z = np.asarray(translation, dtype=np.float64)
    essential = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]) @ rotation
    fixed, moving = on_rays(fixed_xy, fixed_intrinsics), on_rays(moving_xy, moving_intrinsics)
    in_moving, in_fixed = fixed @ essential.T, moving @ essential
    product = (moving * in_moving).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1.0 / (in_moving[:, :2] ** 2).sum(axis=1) + 1.0 / (in_fixed[:, :2] ** 2).sum(axis=1)
        error = product**2 * weight
    # A point at an epipole has no epipolar line in the other image: nothing says that the match is right.
    return np.where(np.isfinite(error), error, np.inf)


def on_rays(xy: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(N, 3) K^-1 (u, v, 1) of (N, 2) px: where the ray of each position meets the plane z = 1."""
    xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    return np.column_stack([xy, np.ones(len(xy))]) @ np.linalg.inv(np.asarray(intrinsics, dtype=np.float64)).T


def epipolar_precision(errors: np.ndarray, threshold: float = EPIPOLAR_THRESHOLD) -> float:
    """Share of `epipolar_errors` (N,) below the threshold, percent; 0 without matches, as in SuperGlue's code."""
    errors = np.asarray(errors, dtype=np.float64)
    return float(100.0 * (errors < threshold).mean()) if len(errors) else 0.0
