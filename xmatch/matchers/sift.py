"""The classic: SIFT keypoints (Lowe, IJCV 60, 2004) matched by their descriptors.

At home within one sensor, where it sees at once how one image lies on another, from aside too; between sensors a
yardstick. A first look at small copies of both views takes a tenth of the time of a second one, and tells most pairs
apart: on SRIF's training split an image and a perspective view of itself agree in 63 keypoints at least, unrelated
images in 5 at most.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from xmatch.coords import Floats, Image, Mask, as_image, from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.matchers.agreement import agreeing, maps_agreed_on
from xmatch.matchers.base import Matches, SearchRange
from xmatch.matchers.search.fourier import resized
from xmatch.raster import View


@dataclass(frozen=True)
class _Look:
    side_px: float
    """Each view is reduced to side_px^2 px at most."""
    keypoints: int
    """The strongest of each view, at most."""
    contrast: float
    """Least of a keypoint. OpenCV's own 0.04 leaves images of little contrast without any."""


FIRST, SECOND = _Look(200, 400, 0.008), _Look(640, 2000, 0.001)
"""The first takes 0.05 s of a core for both views, and finds in all of SRIF's training images seen from aside what it
needs; not tuned further."""
ENOUGH, GLIMPSE = 40, 6
"""Agreeing pairs with which the first look is the last, and with fewer of which an early end is made: unrelated images
have 5 at most there."""
WORTH_VERIFYING = 20
"""Agreeing pairs below which what is found is faint. Cross-sensor pairs hardly reach it. Not tuned."""
RATIO = 0.85
"""Lowe's ratio test, looser than his 0.8: matching both ways prunes too, and unlike sensors leave few pairs to lose."""
TOLERANCE_PX = 3.0
"""View px; half as much again as a px of the look where that is larger. Not tuned."""
SLACK_DEG, SLACK_SCALE = 30.0, 2.0
"""How much further than the range a single keypoint's turn and scale may be off: they are rough, and a plane seen from
aside has many. Not tuned."""


@dataclass(frozen=True, eq=False)
class _Keypoints:
    xy: Floats
    """(N, 2) view px, corner-counted."""
    angle_deg: Floats
    """(N,)"""
    size_px: Floats
    """(N,) view px."""
    descriptors: Image
    """(N, 128) float32 of length 1."""


class Sift:
    """SIFT behind the protocol of all matchers.

    Args:
        gives_up_early: look closer only where the first look saw anything at all: what comes next is not kept waiting.
    """

    name = "sift"
    wants_colour = False

    def __init__(self, gives_up_early: bool = False) -> None:
        self.gives_up_early = gives_up_early

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
        """Correspondences in view px with certainty 1 - ratio, and the maps that they agree on, by inliers:
        similarities as proposals, where no freer kind explains clearly more.

        With `within.mirror`, moving is looked at turned over too and the side with more inliers wins.
        """
        found = Matches(is_faint=True)
        for look in (FIRST, SECOND):
            # A second look that agrees on less than the first one does not replace it.
            found = max(self._looked(fixed, moving, within, look, seed, threads), found, key=agreeing)
            pairs = agreeing(found)
            if pairs >= ENOUGH:
                break
            if look is FIRST and self.gives_up_early and pairs < GLIMPSE:
                return Matches(is_faint=True)
        return found

    def _looked(self, fixed: View, moving: View, within: SearchRange, look: _Look, seed: int, threads: int) -> Matches:
        flips = (False, True) if within.mirror else (False,)
        jobs = [(fixed, False), *((moving, mirrored) for mirrored in flips)]
        with ThreadPoolExecutor(max(1, threads)) as pool:
            here, *sides = pool.map(lambda job: _keypoints(job[0], job[1], look), jobs)
        reduction = min(1.0, look.side_px / np.sqrt(fixed.width * fixed.height))
        tolerance_px = max(TOLERANCE_PX, 1.5 / reduction)
        return max(
            (
                _matched(here, there, fixed, moving, within, mirrored, tolerance_px, seed)
                for there, mirrored in zip(sides, flips, strict=True)
            ),
            key=agreeing,
        )


def _keypoints(view: View, mirrored: bool, look: _Look) -> _Keypoints:
    """Keypoints of the valid part; what lies outside is painted in the middle grey and cannot be seen.

    With `mirrored`, positions are as they are, descriptors as seen from the other side.
    """
    factor = look.side_px / np.sqrt(view.width * view.height)
    (image, valid), scale = ((view.image, view.valid), (1.0, 1.0)) if factor >= 1 else resized(view, factor)
    if mirrored:
        image, valid = image[:, ::-1], valid[:, ::-1]
    found, descriptors = _detected(image, valid, look)
    xy = from_centre_xy(np.array([k.pt for k in found]).reshape(-1, 2))
    if mirrored:
        xy = xy * (-1, 1) + (image.shape[1], 0)
    # RootSIFT (Arandjelovic and Zisserman, CVPR 2012): the Hellinger kernel, and rows of length 1.
    rooted = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    sizes = np.array([k.size for k in found]) / np.sqrt(scale[0] * scale[1])
    return _Keypoints(xy / scale, np.array([k.angle for k in found]), sizes, rooted)


def _detected(image: Image, valid: Mask, look: _Look) -> tuple[list[cv2.KeyPoint], Image]:
    nothing = np.zeros((0, 128), np.float32)
    if not valid.any():
        return [], nothing
    grey = np.where(valid, np.clip(image, 0.0, 1.0), np.median(image[valid]))
    grey, mask = np.rint(255 * grey).astype(np.uint8), np.ascontiguousarray(valid, np.uint8)
    # Without the precise upscale every position is a quarter of a pixel off.
    detector = cv2.SIFT.create(look.keypoints, contrastThreshold=look.contrast, enable_precise_upscale=True)
    found, descriptors = detector.detectAndCompute(grey, mask)
    return list(found), nothing if descriptors is None else as_image(descriptors)


def _matched(
    here: _Keypoints,
    there: _Keypoints,
    fixed: View,
    moving: View,
    within: SearchRange,
    mirrored: bool,
    tolerance_px: float,
    seed: int,
) -> Matches:
    """Pairs of keypoints and the maps within range that they agree on."""
    found = maps_agreed_on(_pairs(here, there, within), fixed, moving, within, tolerance_px, seed, mirrored)
    return replace(found, is_faint=agreeing(found) < WORTH_VERIFYING)


def _pairs(fixed: _Keypoints, moving: _Keypoints, within: SearchRange) -> Correspondences:
    """Mutual nearest descriptors that pass the ratio test and whose own turn and scale are not out of range."""
    if min(len(fixed.xy), len(moving.xy)) < 2:
        return Correspondences.empty()
    likeness = fixed.descriptors @ moving.descriptors.T
    rows, nearest = np.arange(len(likeness)), likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[nearest] == rows
    first = likeness[rows, nearest]
    likeness[rows, nearest] = -1.0
    first_apart, second_apart = (np.sqrt(np.maximum(2 - 2 * s, 0.0)) for s in (first, likeness.max(axis=1)))
    ratio = first_apart / np.maximum(second_apart, 1e-6)
    turn = fixed.angle_deg - moving.angle_deg[nearest]
    scale = fixed.size_px / moving.size_px[nearest]
    near = within.holds(turn, scale, slack_deg=SLACK_DEG, slack_scale=SLACK_SCALE)
    kept = mutual & (ratio < RATIO) & near
    return Correspondences(fixed.xy[kept], moving.xy[nearest[kept]], np.clip(1 - ratio[kept], 0, 1).astype(np.float64))
