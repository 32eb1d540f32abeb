"""The classic: SIFT keypoints (Lowe, IJCV 60, 2004) matched by their descriptors.

At home within one sensor; between sensors a yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xmatch.coords import Floats, Image, Mask, from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.matchers.base import Matches, Proposal, SearchRange
from xmatch.raster import View

KEYPOINTS, ENOUGH_KEYPOINTS = 4000, 1500
"""At most so many per view; with fewer than enough of them the threshold on contrast is lowered. Not tuned."""
CONTRASTS = (0.04, 0.015, 0.005, 0.001)
"""OpenCV's default first. Sensors of little contrast have their structure far below it."""
RATIO = 0.9
"""Lowe's ratio test, looser than his 0.8: matching both ways prunes too, and unlike sensors leave few pairs to lose."""
TOLERANCE_PX = 3.0
"""View px. Not tuned."""
POSES, MIN_INLIERS = 3, 5
"""Poses looked for one after the other, and how many pairs make one: noise rarely agrees on more than four."""
SLACK_DEG, SLACK_SCALE = 30.0, 1.6
"""How much further than the range a single keypoint's turn and scale may be off; they are rough. Not tuned."""


@dataclass(frozen=True, eq=False)
class _Keypoints:
    xy: Floats
    """(N, 2) view px, corner-counted."""
    angle_deg: Floats
    """(N,)"""
    size_px: Floats
    """(N,)"""
    descriptors: Image
    """(N, 128) float32 of length 1."""


class Sift:
    """SIFT behind the protocol of all matchers."""

    name = "sift"
    wants_colour = False

    def __call__(
        self,
        fixed: View,
        moving: View,
        within: SearchRange,
        *,
        seed: int = 0,
        threads: int = 1,
        earlier: Matches | None = None,
    ) -> Matches:
        """Correspondences in view px with certainty 1 - ratio, and the similarities that they agree on, by inliers.

        With `within.mirror`, moving is looked at turned over too and the side with more inliers wins.
        """
        here = _keypoints(fixed.image, fixed.valid)
        sides = []
        for mirrored in (False, True) if within.mirror else (False,):
            pairs = _pairs(here, _side(moving, mirrored), within)
            sides.append(Matches(_poses(pairs, fixed, moving, within, mirrored, seed), pairs))
        return max(sides, key=lambda side: side.proposals[0].score if side.proposals else 0.0)


def _keypoints(image: Image, valid: Mask) -> _Keypoints:
    """Keypoints of the valid part; what lies outside is painted in the middle grey and cannot be seen."""
    if not valid.any():
        return _Keypoints(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros((0, 128), np.float32))
    grey = np.where(valid, np.clip(image, 0.0, 1.0), np.median(image[valid]))
    grey, mask = np.rint(255 * grey).astype(np.uint8), np.ascontiguousarray(valid, np.uint8)
    for contrast in CONTRASTS:
        # Without the precise upscale every position is a quarter of a pixel off.
        detector = cv2.SIFT.create(KEYPOINTS, contrastThreshold=contrast, enable_precise_upscale=True)
        found, descriptors = detector.detectAndCompute(grey, mask)
        if len(found) >= ENOUGH_KEYPOINTS:
            break
    descriptors = np.zeros((0, 128), np.float32) if descriptors is None else descriptors
    # RootSIFT (Arandjelovic and Zisserman, CVPR 2012): the Hellinger kernel, and rows of length 1.
    rooted = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    xy = from_centre_xy(np.array([k.pt for k in found]).reshape(-1, 2))
    return _Keypoints(xy, np.array([k.angle for k in found]), np.array([k.size for k in found]), rooted)


def _side(moving: View, mirrored: bool) -> _Keypoints:
    """Moving's keypoints, positions as they are, descriptors as seen from the other side when `mirrored`."""
    if not mirrored:
        return _keypoints(moving.image, moving.valid)
    seen = _keypoints(moving.image[:, ::-1], moving.valid[:, ::-1])
    return _Keypoints(seen.xy * (-1, 1) + (moving.width, 0), seen.angle_deg, seen.size_px, seen.descriptors)


def _pairs(fixed: _Keypoints, moving: _Keypoints, within: SearchRange) -> Correspondences:
    """Mutual nearest descriptors that pass the ratio test and whose own turn and scale are not out of range."""
    if min(len(fixed.xy), len(moving.xy)) < 2:
        return Correspondences.empty()
    likeness = fixed.descriptors @ moving.descriptors.T
    rows, nearest = np.arange(len(likeness)), likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[nearest] == rows
    second = np.partition(likeness, -2, axis=1)[:, -2]
    first_apart, second_apart = (np.sqrt(np.maximum(2 - 2 * s, 0.0)) for s in (likeness[rows, nearest], second))
    ratio = first_apart / np.maximum(second_apart, 1e-6)
    turn = fixed.angle_deg - moving.angle_deg[nearest]
    scale = fixed.size_px / moving.size_px[nearest]
    kept = mutual & (ratio < RATIO) & within.holds(turn, scale, slack_deg=SLACK_DEG, slack_scale=SLACK_SCALE)
    return Correspondences(fixed.xy[kept], moving.xy[nearest[kept]], np.clip(1 - ratio[kept], 0, 1).astype(np.float64))


def _poses(
    pairs: Correspondences, fixed: View, moving: View, within: SearchRange, mirrored: bool, seed: int
) -> tuple[Proposal, ...]:
    """Similarities within range, best first: the one most pairs agree on, then the one most of the rest agree on..."""
    poses: list[Proposal] = []
    for _ in range(POSES):
        if len(pairs) < MIN_INLIERS:
            break
        agreed = estimate(pairs, "similarity", seed=seed, tolerance_px=TOLERANCE_PX, allow_mirror=mirrored)
        matrix = agreed.matrix
        if matrix is None or agreed.inliers.sum() < MIN_INLIERS:
            break
        if (np.linalg.det(matrix[:2, :2]) < 0) == mirrored and within.allows(matrix, fixed, moving):
            poses.append(Proposal(matrix, float(agreed.inliers.sum())))
        pairs = pairs[~agreed.inliers]
    return tuple(sorted(poses, key=lambda pose: -pose.score))
