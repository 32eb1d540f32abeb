"""Which kind of map: the stiffest that no freer one clearly beats at points which the fit has not seen."""

from __future__ import annotations

import numpy as np

from xmatch.estimate.model import Model, WeightedPoints

FOLDS = 5
"""As usual. Not tuned."""
BLOCKS = 5
"""Points are held out in blocks of a lattice of BLOCKS x BLOCKS: neighbours err alike, and would leak otherwise."""

CAP = 3.0
"""Residuals count up to so many tolerances; one wild point must not choose the kind. Not tuned."""

MARGIN = 0.95
"""A freer kind must have at most this share of the stiffer one's held-out error, not tuned, ..."""
STANDARD_ERRORS = 2.0
"""... and win by so many standard errors of the difference between blocks (after Breiman et al. 1984, 3.4.3)."""


def folds(moving_xy: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) block and (N,) fold of each point; of few points each is its own block."""
    n = len(moving_xy)
    if n < 2 * BLOCKS**2:
        block = np.arange(n)
    else:
        low, extent = moving_xy.min(axis=0), np.ptp(moving_xy, axis=0).clip(min=1e-9)
        cell = np.minimum((moving_xy - low) / extent * BLOCKS, BLOCKS - 1).astype(int)
        _, block = np.unique(cell @ (BLOCKS, 1), return_inverse=True)
    order = np.random.default_rng(seed).permutation(block.max() + 1)
    return block, order[block] % FOLDS


def heldout_residuals(model: Model, points: WeightedPoints, fold: np.ndarray) -> np.ndarray:
    """(N,) px: each point's distance under the map fitted to the other folds; infinity where there is none."""
    residual = np.full(len(points), np.inf)
    for k in range(FOLDS):
        mine = fold == k
        transform = model.robust_fit(points[~mine]) if mine.any() else None
        if transform is not None:
            residual[mine] = points[mine].residual_px(transform)
    return residual


def score(residual: np.ndarray, tolerance_px: float) -> np.ndarray:
    """(N,) squared error, px^2, capped."""
    return np.minimum(residual, CAP * tolerance_px) ** 2


def beats(freer: np.ndarray, stiffer: np.ndarray, block: np.ndarray, share: float = MARGIN) -> bool:
    """Whether the freer kind's (N,) squared errors are clearly below the stiffer one's; each block has one voice."""
    gain = np.bincount(block, weights=stiffer - freer) / np.bincount(block)
    if len(gain) < 3 or freer.mean() > share**2 * stiffer.mean():
        return False
    return bool(gain.mean() > STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)))
