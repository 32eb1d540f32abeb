"""From a pose that is nearly right somewhere to the affine map or homography that holds everywhere, step by step.

First Gauss-Newton steps over affine maps and homographies, from coarse to fine. Then windows, from half the overlap
down to a tenth of it, each free to move around where the map so far puts it: what most of them agree on is the next
map, kept where the correlation of the images' edges rises.
"""

from __future__ import annotations

import numpy as np

from xmatch.coords import Floats, corners
from xmatch.geometry import Linear, Transform
from xmatch.geometry.matrices import local_scale
from xmatch.matchers.search.descriptors import DescriptorMap, blurred, edge_descriptors
from xmatch.matchers.search.gauss_newton import AFFINE, HOMOGRAPHY, Motion, PyramidLevel, climb, correlation
from xmatch.matchers.search.seen_through import Reduced
from xmatch.raster import View
from xmatch.registration.agreeing_windows import agreed, holds_somewhere, window_ties
from xmatch.registration.reduced_pair import ReducedPair, WindowLevel

CLIMBS: tuple[tuple[PyramidLevel, Motion], ...] = (
    (PyramidLevel(80, 3.0, 12), AFFINE),
    (PyramidLevel(100, 2.5, 12), HOMOGRAPHY),
    (PyramidLevel(160, 2.0, 12), HOMOGRAPHY),
    (PyramidLevel(240, 1.5, 12), HOMOGRAPHY),
)
"""Not tuned."""


WINDOWS = (
    WindowLevel(0.5, 0.12, 180, ("affine",)),
    WindowLevel(0.4, 0.10, 180, ("affine", "homography")),
    WindowLevel(0.3, 0.08, 270),
    WindowLevel(0.22, 0.05, 270),
    WindowLevel(0.15, 0.03, 540),
    WindowLevel(0.1, 0.02, 540),
)
"""Not tuned."""
SCORED_PX = 270.0
"""Maps are compared with the fixed view reduced to so many px squared. Not tuned."""
NEARLY = 0.85
"""A map that correlates so nearly as well as the best one is followed further. Not tuned."""
HORIZON = 0.2
"""The far corner of moving may lie so many times further off than the near one: 1 over this. Not tuned."""


class MapRefiner:
    """Refines maps of one pair; what belongs to the fixed view is computed once, and so is what comes of a pose.

    Args:
        threads: at most so many match windows.
    """

    def __init__(self, fixed: View, moving: View, *, seed: int, threads: int = 1) -> None:
        self.moving, self._seed, self._threads = moving, seed, threads
        self._pair = ReducedPair(fixed, moving)
        self._known: dict[tuple[bytes, bool], Linear] = {}

    def __call__(self, pose: Floats, *, affine_only: bool = False) -> Linear:
        """The best map nearby, an affine one or a homography; the pose itself where nothing fits better.

        Args:
            pose: (3, 3) moving view px -> fixed view px.
            affine_only: no homography.
        """
        asked = pose.tobytes(), affine_only
        if asked not in self._known:
            start = found = Linear(pose, "affine")
            if holds_somewhere(self._pair, start, seed=self._seed, threads=self._threads):
                found = max((start, self._climbed(start, affine_only)), key=self.score)
                found = self._by_windows(found, affine_only)
            self._known[asked] = found
        return self._known[asked]

    def score(self, to_fixed: Transform) -> float:
        """Correlation of edges times the root of the overlap, as the search has it."""
        level = self._pair.level(SCORED_PX)
        return correlation(level.here, self._pair.seen(to_fixed, level))

    def _climbed(self, start: Linear, affine_only: bool) -> Linear:
        found = start
        for climbed_at, motion in CLIMBS:
            level = self._pair.level(climbed_at.side_px, climbed_at.blur_px)
            onto = level.onto @ found.matrix
            middle = (self.moving.width / 2, self.moving.height / 2)
            reduced = Reduced(self.moving, local_scale(Linear(onto), middle))

            def seen(
                matrix: Floats,
                reduced: Reduced = reduced,
                size: tuple[int, int] = level.size,
                blur_px: float = climbed_at.blur_px,
            ) -> DescriptorMap:
                return blurred(edge_descriptors(*reduced.through(Linear(matrix), size)), blur_px)

            try:
                matrix, _ = climb(level.here, seen, onto, AFFINE if affine_only else motion, climbed_at.steps)
                climbed = Linear(np.linalg.inv(level.onto) @ matrix)
            except ValueError:
                break
            if not self._is_sane(climbed, start):
                break
            found = climbed
        return found

    def _by_windows(self, start: Linear, affine_only: bool) -> Linear:
        best = found = start
        best_score = self.score(start)
        for level in WINDOWS:
            ties = window_ties(self._pair, found, level, threads=self._threads)
            if ties is None:
                continue
            fits = [agreed(*ties, kind, self._seed) for kind in (("affine",) if affine_only else level.kinds)]
            scored = [(self.score(fit), fit) for fit in fits if fit is not None and self._is_sane(fit, start)]
            if not scored:
                continue
            score, fit = max(scored, key=lambda one: one[0])
            if score > NEARLY * best_score:
                found = fit
            if score > best_score:
                best, best_score = fit, score
        return best

    def _is_sane(self, found: Linear, start: Linear) -> bool:
        """Whether moving lies well before the horizon, convex, and on the same side as `start` has it."""
        outline = corners(self.moving.width, self.moving.height)
        w = np.column_stack([outline, np.ones(4)]) @ found.matrix[2]
        if (w <= HORIZON * w.max()).any():
            return False
        sides = np.diff(np.vstack([found(outline), found(outline[:2])]), axis=0)
        turns = sides[:-1, 0] * sides[1:, 1] - sides[:-1, 1] * sides[1:, 0]
        return bool((turns * np.sign(np.linalg.det(start.matrix[:2, :2])) > 0).all())
