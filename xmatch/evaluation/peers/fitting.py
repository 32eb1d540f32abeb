"""From the correspondences of a peer to what it says of the pair."""

from __future__ import annotations

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.estimate import ESTIMATORS, estimate
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.images import Grey, Shrunk, unlikely_scale


def explained(pairs: Correspondences, fixed: Grey, moving: Grey, settings: PeerSettings) -> Found:
    """The transform that explains `pairs`, px of the files; more of them than any transform of its kind would."""
    fitted = estimate(
        pairs,
        settings.transform,
        seed=settings.seed,
        tolerance_px=settings.tolerance_px,
        moving_size=(moving.width, moving.height),
    )
    count, inliers = len(pairs), int(fitted.inliers.sum())
    matrix = None if fitted.transform is None else fitted.transform.matrix
    if matrix is None or inliers <= ESTIMATORS[settings.transform].minimum:
        unexplained = f"{count} correspondences were found, and no {settings.transform} explains them."
        return Found(None, unexplained, count, inliers)
    reason = unlikely_scale(matrix, fixed.width, moving.width, settings.max_scale)
    return Found(None if reason else fitted.transform, reason, count, inliers)


def explained_shrunk(pairs: Correspondences, fixed: Shrunk, moving: Shrunk, settings: PeerSettings) -> Found:
    """`explained` for correspondences in px of shrunk images, without those on what the files declare invalid."""
    pairs = Correspondences(fixed.file_xy(pairs.fixed_xy), moving.file_xy(pairs.moving_xy), pairs.certainty)
    kept = _is_valid(pairs.fixed_xy, fixed.full) & _is_valid(pairs.moving_xy, moving.full)
    return explained(pairs[kept], fixed.full, moving.full, settings)


def _is_valid(xy: np.ndarray, seen: Grey) -> np.ndarray:
    """(N,) bool: which of (N, 2) px lie on a valid pixel."""
    last = np.array([seen.width, seen.height]) - 1
    column, row = np.clip(np.floor(xy), 0, last).astype(np.int64).T
    return seen.valid[row, column]
