"""Which points agree on one map: OpenCV's random sampling, seeded, and a mode for translations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from xmatch.estimate.model import WeightedPoints
from xmatch.geometry.neighbours import count_within

ITERATIONS = {2: 10_000, 3: 50_000, 4: 200_000}
"""Samples drawn at most, by the size of a sample: enough to find 7 % of right points among 300 more often than not."""
FULL_SPEED = 1_000
"""With more points than this, fewer samples are drawn, so that hopeless input does not take ever longer. Not tuned."""
CONFIDENCE = 0.999
"""That a sample without wrong points was drawn. Not tuned."""
HYPOTHESES = 2_000
"""Translations are tried at this many points at most. Not tuned."""


def translation_consensus(points: WeightedPoints, tolerance_px: float, seed: int) -> np.ndarray | None:
    """The displacement with most others near it: one point determines a translation, so all can be tried."""
    shift = points.fixed_xy - points.moving_xy
    tried = np.arange(len(shift))
    if len(tried) > HYPOTHESES:
        tried = np.sort(np.random.default_rng(seed).choice(tried, HYPOTHESES, replace=False))
    support = count_within(shift[tried], shift, tolerance_px)
    best = shift[tried[np.argmax(support)]]
    return np.linalg.norm(shift - best, axis=1) <= tolerance_px


def similarity_consensus(points: WeightedPoints, tolerance_px: float, seed: int) -> np.ndarray | None:
    """RANSAC: OpenCV's USAC does not offer similarities. OpenCV seeds it with a constant, so `seed` says nothing."""
    moving, fixed = _centred(points)
    found = cv2.estimateAffinePartial2D(moving, fixed, None, cv2.RANSAC, tolerance_px, ITERATIONS[2], CONFIDENCE)
    return _mask(found, len(points), minimum=2)


def affine_consensus(
    points: WeightedPoints, tolerance_px: float, seed: int, samples: int = ITERATIONS[3]
) -> np.ndarray | None:
    return _magsac(cv2.estimateAffine2D, points, tolerance_px, seed, 3, samples)


def homography_consensus(
    points: WeightedPoints, tolerance_px: float, seed: int, samples: int = ITERATIONS[4]
) -> np.ndarray | None:
    return _magsac(cv2.findHomography, points, tolerance_px, seed, 4, samples)


def _magsac(
    estimator: Callable[..., Any], points: WeightedPoints, tolerance_px: float, seed: int, minimum: int, samples: int
) -> np.ndarray | None:
    moving, fixed = _centred(points)
    if len(points) == minimum:
        # Nothing to disagree; USAC may find nothing in a minimal sample.
        return np.ones(minimum, bool)
    try:
        found = estimator(moving, fixed, magsac_params(len(points), tolerance_px, seed, samples))
        return _mask(found, len(points), minimum)
    except cv2.error:
        # Some degenerate samples make OpenCV's solvers throw instead of returning nothing.
        return None


def magsac_params(count: int, tolerance_px: float, seed: int, samples: int) -> cv2.UsacParams:
    """MAGSAC++ (Barath et al., CVPR 2020) as OpenCV's USAC has it, for `count` points."""
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.final_polisher = cv2.MAGSAC
    params.sampler = cv2.SAMPLING_UNIFORM
    params.threshold = tolerance_px
    params.maxIterations = max(samples * FULL_SPEED // max(count, FULL_SPEED), min(samples, 5_000))
    params.confidence = CONFIDENCE
    params.randomGeneratorState = seed
    params.isParallel = False
    return params


def _centred(points: WeightedPoints) -> tuple[np.ndarray, np.ndarray]:
    """float32 positions about their means: OpenCV computes in single precision, which far-off origins would eat."""
    moving, fixed = ((xy - xy.mean(axis=0)).astype(np.float32) for xy in (points.moving_xy, points.fixed_xy))
    return moving, fixed


def _mask(found: tuple[np.ndarray | None, np.ndarray | None], n: int, minimum: int) -> np.ndarray | None:
    matrix, mask = found
    if matrix is None or mask is None or not np.isfinite(matrix).all() or mask.size != n:
        return None
    agrees = mask.ravel().astype(bool)
    return agrees if agrees.sum() >= minimum else None
