"""Blur and noise of an image, in the type of its values."""

from __future__ import annotations

import numpy as np


def blurred(pixels: np.ndarray, sigma_px: float) -> np.ndarray:
    """(C, H, W) float32 under a Gaussian."""
    import cv2

    return np.stack([cv2.GaussianBlur(band, (0, 0), sigma_px) for band in pixels]) if sigma_px else pixels


def noisy(pixels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """(C, H, W) float32 with Gaussian noise."""
    return pixels + sigma * rng.standard_normal(pixels.shape, dtype=np.float32)


def range_of(pixels: np.ndarray) -> float:
    """From the 2nd percentile of all values to the 98th."""
    low, high = np.percentile(pixels, (2, 98))
    return float(high - low)


def as_dtype(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rounded and held within the limits of an integer type."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(pixels), limits.min, limits.max).astype(dtype)
    return pixels.astype(dtype)
