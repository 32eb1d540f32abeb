"""Networks that find correspondences, keypoints or cells, behind the protocol of all matchers.

Most of them were trained on photographs that stand upright. So they look at moving as it is first, and where that does
not settle it, at moving as it would look on fixed under each pose that structure proposes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmatch.matchers.agreement import agreeing, maps_agreed_on
from xmatch.matchers.base import MIN_SIDE_PX, Matches, SearchRange, has_texture
from xmatch.matchers.memory import matched_with_less
from xmatch.matchers.search.settings import EDGE_SEARCH
from xmatch.matchers.structural import propose
from xmatch.matchers.under_pose import Look, in_views, reduced, under_pose
from xmatch.networks.base import CorrespondenceNetwork, Thrifty
from xmatch.ops.threads import torch_threads
from xmatch.raster import View

TOLERANCE_PX = 3.0
"""View px; half as much again as a px of the look where that is larger. Not tuned."""
SETTLED = 60
"""Agreeing pairs with which the first look is the last. Not tuned: unrelated images have hardly a dozen."""
POSES = 3
"""Of structure's, that are looked at. Not tuned."""
LEAST_PX = 160
"""Looks get no smaller than this squared where memory does not suffice."""


class CorrespondenceMatcher:
    """A network that finds correspondences, and the maps that they agree on.

    Args:
        device: where poses are searched.
        side_px: views are looked at with so many px squared at most.
        wants_colour: whether the network looks at colours.
    """

    def __init__(
        self,
        name: str,
        network: CorrespondenceNetwork,
        device: str = "cpu",
        *,
        side_px: int = 640,
        wants_colour: bool = False,
    ) -> None:
        self.name, self._network, self._device = name, network, device
        self._side_px, self.wants_colour = side_px, wants_colour
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
        """The correspondences of the look on which most agree, and the maps that they agree on."""
        if not (has_texture(fixed) and has_texture(moving)):
            return Matches()

        def match() -> Matches:
            return self._matched(fixed, moving, within, seed, threads, earlier)

        return matched_with_less(match, self._less, self._notes)

    def _less(self) -> str | None:
        """A network that wants less memory itself, or else smaller looks."""
        if isinstance(self._network, Thrifty):
            return self._network.with_less()
        if self._side_px // 2 < LEAST_PX:
            return None
        self._side_px //= 2
        return f"images seen with {self._side_px} x {self._side_px} px at most"

    def _matched(
        self, fixed: View, moving: View, within: SearchRange, seed: int, threads: int, earlier: Matches | None
    ) -> Matches:
        here = self._as_it_is(fixed)
        with torch_threads(threads):
            described = self._network.describe(here.image, here.valid)
            best = self._looked(described, fixed, moving, here, self._as_it_is(moving), within, seed)
            if agreeing(best) >= SETTLED:
                return best
        # Whole images tell how moving is turned where single places do not.
        proposed = earlier.edge_proposals if earlier else None
        if proposed is None:
            proposed = tuple(propose(fixed, moving, within, EDGE_SEARCH, threads=threads, device=self._device))
        with torch_threads(threads):
            for pose in proposed[:POSES]:
                there = under_pose(moving, pose.matrix, here, coloured=self.wants_colour)
                if there.valid.sum() >= MIN_SIDE_PX**2:
                    mirrored = bool(np.linalg.det(pose.matrix[:2, :2]) < 0)
                    found = self._looked(described, fixed, moving, here, there, within, seed, mirrored)
                    best = max(best, found, key=agreeing)
                if agreeing(best) >= SETTLED:
                    break
        return replace(best, edge_proposals=proposed)

    def _looked(
        self,
        described: object,
        fixed: View,
        moving: View,
        here: Look,
        there: Look,
        within: SearchRange,
        seed: int,
        mirrored: bool = False,
    ) -> Matches:
        pairs = in_views(self._network.match(described, self._network.describe(there.image, there.valid)), here, there)
        tolerance_px = max(TOLERANCE_PX, 1.5 * float(here.to_view[0, 0]))
        return maps_agreed_on(pairs, fixed, moving, within, tolerance_px, seed, mirrored)

    def _as_it_is(self, view: View) -> Look:
        shrinking = min(1.0, self._side_px / float(np.sqrt(view.width * view.height)))
        return reduced(view, shrinking, coloured=self.wants_colour)
