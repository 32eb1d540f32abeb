"""The learned matcher: poses that structure proposes, each matched densely, the surest one first.

A pose is matched on moving as it would look under it, so that the network sees small motion only and no black corners
that it would take for content: what is not valid is masked out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.matchers.base import MIN_SIDE_PX, Matches, Proposal, SearchRange, has_texture
from xmatch.matchers.memory import matched_with_less
from xmatch.matchers.search.fourier import distinct
from xmatch.matchers.search.settings import EDGE_SEARCH
from xmatch.matchers.structural import propose
from xmatch.matchers.under_pose import in_views, reduced, under_pose
from xmatch.networks.xmatch.runner import Network
from xmatch.ops.threads import torch_threads
from xmatch.raster import View

SIDE_PX = 256
"""Poses are matched on fixed views of about so many px squared. Not tuned: twice what the network was trained on."""
FINER_PX = (384, 512)
"""The surest pose is matched again on views of so many, for as long as its score grows: a pose is about as exact as a
cell over the root of the share that agrees, and the score, a sum over cells, is the inverse square of that."""
PROPOSED = replace(EDGE_SEARCH, kept=4)
"""The search that proposes poses."""
LEAST_PX = 128
"""Looks get no smaller than this squared where memory does not suffice."""
MIN_CERTAINTY = 0.1
"""Cells that are less sure have no say. Not tuned."""
TOLERANCE_PX = 4.0
"""Of working px: how far cells may lie from the pose that they agree on. Not tuned."""
MIN_INLIERS = 6
"""Cells that make a pose. Not tuned."""


class DenseMatcher:
    """A trained `XMatch` behind the protocol of all matchers; poses are searched on `device`."""

    wants_colour = False

    def __init__(self, name: str, network: Network, device: str = "cpu") -> None:
        self.name, self.network, self._device = name, network, device
        self._sides_px: tuple[int, ...] = (SIDE_PX, *FINER_PX)
        self._notes: list[str] = []

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
        """Hypotheses by the certainty that agrees with them, and the dense correspondences of the best one."""
        if not (has_texture(fixed) and has_texture(moving)):
            return Matches()
        proposed = propose(fixed, moving, within, PROPOSED, threads=threads, device=self._device)

        def match() -> Matches:
            return self._climbed(fixed, moving, proposed, within, seed, threads)

        return matched_with_less(match, self._less, self._notes)

    def _less(self) -> str | None:
        """Without the finest look; the last one in half of the size."""
        *coarser, finest = self._sides_px
        if not coarser and finest // 2 < LEAST_PX:
            return None
        self._sides_px = tuple(coarser) or (finest // 2,)
        return f"images seen with {self._sides_px[-1]} x {self._sides_px[-1]} px at most"

    def _climbed(
        self, fixed: View, moving: View, proposed: list[Proposal], within: SearchRange, seed: int, threads: int
    ) -> Matches:
        with torch_threads(threads):
            first, *finer_px = self._sides_px
            matched = self._matched(fixed, moving, proposed, within, seed, first)
            matched.sort(key=lambda found: -found[0].score)
            for side_px in finer_px if matched else ():
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
        self, fixed: View, moving: View, poses: list[Proposal], within: SearchRange, seed: int, side_px: int
    ) -> list[tuple[Proposal, Correspondences]]:
        """Each pose matched densely on moving warped onto fixed by it, and the better pose that follows."""
        reduction = side_px / np.sqrt(fixed.width * fixed.height)
        here = reduced(fixed, reduction)
        encoded = self.network.encode([here.image], [here.valid])
        found = []
        for pose in poses:
            there = under_pose(moving, pose.matrix, here)
            if there.valid.sum() < MIN_SIDE_PX**2:
                continue
            matched = in_views(self.network.match(encoded, there.image, there.valid), here, there)
            better = _pose(matched, seed, TOLERANCE_PX / reduction)
            if better is not None and within.allows(better.matrix, fixed, moving):
                found.append((better, matched))
        return found


def _pose(matched: Correspondences, seed: int, tolerance_px: float) -> Proposal | None:
    """The similarity most certain cells agree on, scored by their certainty; None when too few agree."""
    sure = matched[matched.certainty > MIN_CERTAINTY]
    if len(sure) < MIN_INLIERS:
        return None
    fitted = estimate(sure, "similarity", seed=seed, tolerance_px=tolerance_px, allow_mirror=True)
    if fitted.matrix is None or fitted.inliers.sum() < MIN_INLIERS:
        return None
    return Proposal(fitted.matrix, float(sure.certainty[fitted.inliers].sum()))
