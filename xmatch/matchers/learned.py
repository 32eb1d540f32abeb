"""The learned matcher: global matching of all turns and scales at low resolution, then dense refinement of the best.

Each hypothesis is matched a second time on moving as it would look under the first estimate, so that the network
sees small motion only and no black corners that it would take for content: what is not valid is masked out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from xmatch.coords import to_centre_matrix
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.matchers import MIN_SIDE_PX, Hypothesis, Matches, SearchRange, says_something
from xmatch.matchers.network import Network
from xmatch.matchers.search import distinct, resized
from xmatch.raster import View

COARSE_SIDE_PX = 256
"""Hypotheses are compared on fixed views of about so many px squared."""
FINE_SIDE_PX = 448
SCALE_STEP = 1.6
"""Ratio of neighbouring scales tried; the network itself bridges a factor of up to two."""
PROPOSED, REFINED = 4, 3
"""Poses kept after the global stage, and after refinement."""
MIN_CERTAINTY = 0.1
COARSE_TOLERANCE_CELLS, FINE_TOLERANCE_PX = 1.0, 2.0
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

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Hypotheses by the certainty that agrees with them, and the dense correspondences of the best one."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        with self.network.threads(threads):
            proposed = self._proposals(fixed, moving, within, seed)
            refined = self._refined(fixed, moving, proposed[:PROPOSED], within, seed)
        if not refined:
            return Matches(tuple(distinct(proposed, moving, limit=REFINED, apart=0.04)))
        refined.sort(key=lambda found: -found[0].score)
        kept = distinct([pose for pose, _ in refined], moving, limit=REFINED, apart=0.04)
        return Matches(tuple(kept), refined[0][1])

    def _proposals(self, fixed: View, moving: View, within: SearchRange, seed: int) -> list[Hypothesis]:
        """Poses found by the global stage at every turn and scale, best first."""
        reduction = COARSE_SIDE_PX / np.sqrt(fixed.width * fixed.height)
        here = _small(fixed, reduction)
        encoded = self.network.encode([here.image], [here.valid])
        poses = []
        for factor in _scales(within):
            there = _small(moving, reduction * factor)
            if min(there.image.shape) < MIN_SIDE_PX or max(there.image.shape) > 4 * COARSE_SIDE_PX:
                continue
            for sides in _sides(there, within):
                found = self.network.globally(encoded, [s.image for s in sides], [s.valid for s in sides])
                poses += [
                    pose
                    for side, matched in zip(sides, found, strict=True)
                    if (pose := _pose(_in_views(matched, here, side), seed, 8 * COARSE_TOLERANCE_CELLS / reduction))
                ]
        allowed = [pose for pose in poses if within.allows(pose.matrix, fixed, moving)]
        return sorted(allowed, key=lambda pose: -pose.score)

    def _refined(
        self, fixed: View, moving: View, poses: list[Hypothesis], within: SearchRange, seed: int
    ) -> list[tuple[Hypothesis, Correspondences]]:
        """Each pose matched again, densely, on moving laid onto fixed by it."""
        if not poses:
            return []
        reduction = FINE_SIDE_PX / np.sqrt(fixed.width * fixed.height)
        here = _small(fixed, reduction)
        encoded = self.network.encode([here.image], [here.valid])
        found = []
        for pose in poses:
            laid = _laid(moving, pose, here)
            if laid.valid.sum() < MIN_SIDE_PX**2:
                continue
            matched = _in_views(self.network.nearby(encoded, laid.image, laid.valid), here, laid)
            better = _pose(matched, seed, FINE_TOLERANCE_PX / reduction)
            if better is not None and within.allows(better.matrix, fixed, moving):
                found.append((better, matched))
        return found


def _small(view: View, factor: float) -> _Small:
    (image, valid), factors = resized(view, factor)
    return _Small(image, valid, np.diag([1 / factors[0], 1 / factors[1], 1.0]))


def _scales(within: SearchRange) -> list[float]:
    """Scales at which moving is looked at, evenly spaced in the logarithm over the range."""
    middle = np.sqrt(abs(np.linalg.det(within.centre[:2, :2])))
    span = np.log(within.max_scale / within.min_scale)
    count = max(1, int(np.ceil(span / np.log(SCALE_STEP) - 1e-6)))
    steps = (np.arange(count) + 0.5) / count
    return [float(middle * within.min_scale * np.exp(span * step)) for step in steps]


def _sides(there: _Small, within: SearchRange) -> list[list[_Small]]:
    """Moving by quarter turns, and turned over if asked, in groups of equal shape."""
    centre = np.degrees(np.arctan2(within.centre[1, 0], within.centre[0, 0]))
    groups: dict[tuple[int, int], list[_Small]] = {}
    for mirrored in (False, True) if within.mirror else (False,):
        side = _mirrored(there) if mirrored else there
        for quarters in range(4):
            off = abs((90.0 * quarters - centre + 180.0) % 360.0 - 180.0)
            if off <= within.max_angle_deg + 45.0:
                turned = _turned(side, quarters)
                groups.setdefault(turned.image.shape, []).append(turned)
    return list(groups.values())


def _mirrored(side: _Small) -> _Small:
    over = np.array([[-1.0, 0.0, side.image.shape[1]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return _Small(side.image[:, ::-1].copy(), side.valid[:, ::-1].copy(), side.to_view @ over)


def _turned(side: _Small, quarters: int) -> _Small:
    """Turned clockwise (x towards y) by exact quarter turns."""
    height, width = side.image.shape
    back = {
        0: np.eye(3),
        1: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, height], [0.0, 0.0, 1.0]]),
        2: np.array([[-1.0, 0.0, width], [0.0, -1.0, height], [0.0, 0.0, 1.0]]),
        3: np.array([[0.0, -1.0, width], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    }[quarters]
    image, valid = (np.ascontiguousarray(np.rot90(plane, -quarters)) for plane in (side.image, side.valid))
    return _Small(image, valid, side.to_view @ back)


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
