"""The learned matcher: poses that structure proposes, each matched densely, the surest one first.

A pose is matched on moving as it would look under it, so that the network sees small motion only and no black corners
that it would take for content: what is not valid is masked out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from xmatch.coords import to_centre_matrix
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.matchers.base import MIN_SIDE_PX, Hypothesis, Matches, SearchRange, says_something
from xmatch.matchers.search.fourier import distinct, resized
from xmatch.matchers.structural import BY_HAND, Look
from xmatch.networks.xmatch.runner import Network
from xmatch.raster import View

SIDE_PX = 256
"""Poses are matched on fixed views of about so many px squared."""
FINER_PX = (384, 512)
"""The surest pose is matched again on views of so many, for as long as its score grows: a pose is about as exact as a
cell over the root of the share that agrees, and the score, a sum over cells, is the inverse square of that."""
PROPOSED = replace(BY_HAND, kept=4)
"""The search that proposes poses."""
MIN_CERTAINTY = 0.1
TOLERANCE_PX = 4.0
"""Of working px: how far cells may lie from the pose that they agree on."""
MIN_INLIERS = 6


@dataclass(frozen=True, eq=False)
class _Small:
    """A view at working size."""

    image: np.ndarray
    valid: np.ndarray
    to_view: np.ndarray
    """(3, 3) px here -> px of the view."""


class Learned:
    """A trained `XMatch` behind the protocol of all matchers."""

    def __init__(self, name: str, network: Network) -> None:
        self.name, self.network = name, network
        self._look = Look(PROPOSED)

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Hypotheses by the certainty that agrees with them, and the dense correspondences of the best one."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        proposed = self._look(fixed, moving, within, threads)
        with self.network.threads(threads):
            matched = self._matched(fixed, moving, proposed, within, seed, SIDE_PX)
            matched.sort(key=lambda found: -found[0].score)
            for side_px in FINER_PX if matched else ():
                finer = self._matched(fixed, moving, [matched[0][0]], within, seed, side_px)
                if not finer or finer[0][0].score <= matched[0][0].score:
                    break
                matched = finer + matched
        if not matched:
            return Matches(tuple(proposed))
        better = distinct([pose for pose, _ in matched], moving, limit=len(matched), apart=0.02)
        # What was proposed stays: where the network is wrong, the judge sees it.
        return Matches((*better, *proposed), matched[0][1])

    def _matched(
        self, fixed: View, moving: View, poses: list[Hypothesis], within: SearchRange, seed: int, side_px: int
    ) -> list[tuple[Hypothesis, Correspondences]]:
        """Each pose matched densely on moving laid onto fixed by it, and the better pose that follows."""
        reduction = side_px / np.sqrt(fixed.width * fixed.height)
        here = _small(fixed, reduction)
        encoded = self.network.encode([here.image], [here.valid])
        found = []
        for pose in poses:
            laid = _laid(moving, pose, here)
            if laid.valid.sum() < MIN_SIDE_PX**2:
                continue
            matched = _in_views(self.network.match(encoded, laid.image, laid.valid), here, laid)
            better = _pose(matched, seed, TOLERANCE_PX / reduction)
            if better is not None and within.allows(better.matrix, fixed, moving):
                found.append((better, matched))
        return found


def _small(view: View, factor: float) -> _Small:
    (image, valid), factors = resized(view, factor)
    return _Small(image, valid, np.diag([1 / factors[0], 1 / factors[1], 1.0]))


def _laid(moving: View, pose: Hypothesis, here: _Small) -> _Small:
    """Moving as it would look on the small fixed view, had `pose` been the truth."""
    onto = np.linalg.inv(here.to_view) @ pose.matrix
    scale = float(np.sqrt(abs(np.linalg.det(onto[:2, :2]))))
    # Shrunk first where needed: warpAffine takes no mean.
    source = _small(moving, min(1.0, scale))
    matrix = to_centre_matrix(onto @ source.to_view)[:2]
    size = here.image.shape[::-1]
    cover = cv2.warpAffine(source.valid.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    image = cv2.warpAffine(source.image * source.valid, matrix, size, flags=cv2.INTER_LINEAR)
    back = np.linalg.inv(pose.matrix) @ here.to_view
    return _Small(image / np.maximum(cover, 1e-3), cover > 0.99, back)


def _in_views(matched: Correspondences, here: _Small, there: _Small) -> Correspondences:
    """Correspondences of working px as correspondences of view px."""

    def mapped(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
        return xy @ matrix[:2, :2].T + matrix[:2, 2]

    fixed_xy, moving_xy = mapped(here.to_view, matched.fixed_xy), mapped(there.to_view, matched.moving_xy)
    return Correspondences(fixed_xy, moving_xy, matched.certainty)


def _pose(matched: Correspondences, seed: int, tolerance_px: float) -> Hypothesis | None:
    """The similarity most certain cells agree on, scored by their certainty; None when too few agree."""
    sure = matched[matched.certainty > MIN_CERTAINTY]
    if len(sure) < MIN_INLIERS:
        return None
    fitted = estimate(sure, "similarity", seed=seed, tolerance_px=tolerance_px, allow_mirror=True)
    if fitted.transform is None or fitted.inliers.sum() < MIN_INLIERS:
        return None
    return Hypothesis(fitted.transform.matrix, float(sure.certainty[fitted.inliers].sum()))
