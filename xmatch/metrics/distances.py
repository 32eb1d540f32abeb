"""How far positions are from where they should be."""

from __future__ import annotations

import numpy as np


def distances_px(xy: np.ndarray, true_xy: np.ndarray) -> np.ndarray:
    """(...,) Euclidean distances of (..., 2) positions, px; infinity where either position is not finite."""
    apart = np.linalg.norm(np.asarray(xy, dtype=np.float64) - np.asarray(true_xy, dtype=np.float64), axis=-1)
    return np.where(np.isfinite(apart), apart, np.inf)
