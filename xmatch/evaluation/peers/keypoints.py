"""OpenCV's keypoints as its tutorials use them: detect, match by nearest descriptor, ratio test, robust estimate.

Unlike the matcher `sift` of `xmatch.matchers`, nothing is tuned for pairs of unlike sensors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xmatch.coords import from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.evaluation.peers.fitting import explained
from xmatch.evaluation.peers.images import Grey, flat_reason, read_grey

KEYPOINTS = 4000
"""At most so many per image; OpenCV's default for ORB is 500, which would be no fair comparison."""
RATIO = 0.8
"""Lowe, IJCV 60, 2004, section 7.1."""


def _sift() -> Any:
    # Without the precise upscale every position is a quarter of a pixel off.
    return cv2.SIFT.create(KEYPOINTS, enable_precise_upscale=True)


def _akaze() -> Any | None:
    # OpenCV 5 moved AKAZE into xfeatures2d, which only its contrib build has.
    places = (cv2, getattr(cv2, "xfeatures2d", None))
    build = next((found for place in places if (found := getattr(place, "AKAZE_create", None)) is not None), None)
    return None if build is None else build()


def _orb() -> Any:
    return cv2.ORB.create(KEYPOINTS)


DETECTORS: dict[str, tuple[Callable[[], Any | None], int]] = {
    "sift": (_sift, cv2.NORM_L2),
    "akaze": (_akaze, cv2.NORM_HAMMING),
    "orb": (_orb, cv2.NORM_HAMMING),
}
"""name -> (builder, None where this OpenCV lacks it; norm of its descriptors)."""


class Keypoints:
    """A detector of `DETECTORS`, and `xmatch.estimate` for the transform: MAGSAC++ for homographies, OpenCV's RANSAC
    for similarities (its MAGSAC++ knows none), both repeatable, then least squares on the inliers."""

    def __init__(self, detector: str) -> None:
        self.name = detector

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        build, norm = DETECTORS[self.name]
        detector = build()
        if detector is None:
            lacks = f"OpenCV {cv2.__version__} lacks {self.name.upper()}; opencv-contrib-python has it."
            return Found(None, lacks, failed=True)
        cv2.setNumThreads(settings.threads)
        seen = read_grey(fixed), read_grey(moving)
        if reason := flat_reason(*seen):
            return Found(None, reason)
        pairs = _pairs(detector, norm, *seen)
        return explained(pairs, *seen, settings)


def _pairs(detector: Any, norm: int, fixed: Grey, moving: Grey) -> Correspondences:
    """Nearest descriptors that pass the ratio test, px of the files."""
    (fixed_xy, here), (moving_xy, there) = (_described(detector, seen) for seen in (fixed, moving))
    if here is None or there is None or min(len(fixed_xy), len(moving_xy)) < 2:
        return Correspondences.empty()
    nearest = cv2.BFMatcher(norm).knnMatch(there, here, k=2)
    kept = [(a.queryIdx, a.trainIdx, a.distance / b.distance) for a, b in nearest if a.distance < RATIO * b.distance]
    if not kept:
        return Correspondences.empty()
    query, train, ratio = (np.array(column) for column in zip(*kept, strict=True))
    return Correspondences(fixed_xy[train], moving_xy[query], 1.0 - ratio)


def _described(detector: Any, seen: Grey) -> tuple[np.ndarray, np.ndarray | None]:
    """(N, 2) positions, corner-counted, and their N descriptors."""
    found, descriptors = detector.detectAndCompute(seen.image, np.ascontiguousarray(seen.valid, np.uint8))
    return from_centre_xy(np.array([k.pt for k in found]).reshape(-1, 2)), descriptors
