"""Seeded fields of noise, the raw material of every scene here."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> np.ndarray:
    """(H, W) float32, mean 0, deviation about 1, no detail finer than `cell_px`."""
    rows, cols = (max(4, int(np.ceil(n / cell_px)) + 3) for n in shape)
    lattice = rng.standard_normal((rows, cols)).astype(np.float32)
    fine = cv2.resize(lattice, (int(cols * cell_px) + 1, int(rows * cell_px) + 1), interpolation=cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, max(1, int(cell_px)))) for _ in range(2))
    return 1.4 * fine[top : top + shape[0], left : left + shape[1]]


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, octaves: int = 5, gain: float = 0.5
) -> np.ndarray:
    """(H, W) float32 sum of noises, each half as wide and `gain` times as strong as the last; deviation about 1."""
    weights = gain ** np.arange(octaves)
    total = sum(w * smooth_noise(rng, shape, max(1.0, cell_px / 2**i)) for i, w in enumerate(weights))
    return total / np.linalg.norm(weights)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def distance_px(mask: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance to the nearest True pixel."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
