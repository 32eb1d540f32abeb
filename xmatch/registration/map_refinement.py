"""From a pose that is nearly right somewhere to the affine map or homography that holds everywhere, step by step.

Windows, from half of the overlap down to a seventh of it, choose together where around the map so far they lie, on one
affine map at first and on one homography from there on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats, corners
from xmatch.geometry import Linear, Transform
from xmatch.matchers.search.gauss_newton import correlation
from xmatch.raster import View
from xmatch.registration.coupled_windows import coupled_projective
from xmatch.registration.reduced_pair import ReducedPair, WindowLevel, fitting_windows, with_margin
from xmatch.registration.tie_points import similarity_surfaces


@dataclass(frozen=True)
class MapLevel:
    windows: WindowLevel
    across: int
    """Windows along the longer side."""
    kind: str
    """Of the map that they share."""


LEVELS = (
    MapLevel(WindowLevel(0.5, 0.15, 180), 10, "affine"),
    MapLevel(WindowLevel(0.4, 0.12, 180), 10, "homography"),
    MapLevel(WindowLevel(0.3, 0.10, 200), 12, "homography"),
    MapLevel(WindowLevel(0.2, 0.06, 270), 16, "homography"),
    MapLevel(WindowLevel(0.14, 0.03, 400), 20, "homography"),
    MapLevel(WindowLevel(0.2, 0.03, 400), 20, "homography"),
)
"""Of seven schedules those that end with larger windows are as exact on training pairs as any (lab log)."""
SCORED_PX = 270.0
"""Maps are compared with the fixed view reduced to so many px squared. Not tuned."""
HORIZON = 0.2
"""The far corner of moving may lie so many times further off than the near one: 1 over this. Not tuned."""


class MapRefiner:
    """Refines maps of one pair; what belongs to the fixed view is computed once, and so is what comes of a pose.

    Args:
        threads: at most so many match windows.
    """

    def __init__(self, fixed: View, moving: View, *, threads: int = 1) -> None:
        self.moving, self._threads = moving, threads
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
            start = Linear(pose, "affine")
            self._known[asked] = max((start, self._followed(start, affine_only)), key=self.score)
        return self._known[asked]

    def score(self, to_fixed: Transform) -> float:
        """Correlation of edges times the root of the overlap, as the search has it."""
        level = self._pair.level(SCORED_PX)
        return correlation(level.here, self._pair.seen(to_fixed, level))

    def _followed(self, start: Linear, affine_only: bool) -> Linear:
        found = start
        for level in LEVELS:
            further = self._at(found, level.windows, level.across, "affine" if affine_only else level.kind)
            if further is None or not self._is_sane(further, start):
                break
            found = further
        return found

    def _at(self, around: Linear, wanted: WindowLevel, across: int, kind: str) -> Linear | None:
        """The map moved by what windows around it choose together; None where that is too little."""
        level = self._pair.level(wanted.side_px)
        here, there = level.here, self._pair.seen(around, level)
        fitting = fitting_windows(here, there, wanted, across)
        if fitting is None:
            return None
        windows, centres = fitting
        margin, one, other = with_margin(windows, here, there)
        surfaces = similarity_surfaces(one, other, centres + margin, windows, threads=self._threads)
        displaced = coupled_projective(surfaces, centres + 0.5, kind)
        if displaced is None:
            return None
        # What the fixed image shows at a place lies displaced in moving as it is laid so far.
        onto = Linear(level.onto, "affine")
        return onto.inverse.after(displaced.inverse).after(onto).after(around)

    def _is_sane(self, found: Linear, start: Linear) -> bool:
        """Whether moving lies well before the horizon, convex, and on the same side as `start` has it."""
        outline = corners(self.moving.width, self.moving.height)
        w = np.column_stack([outline, np.ones(4)]) @ found.matrix[2]
        if (w <= HORIZON * w.max()).any():
            return False
        sides = np.diff(np.vstack([found(outline), found(outline[:2])]), axis=0)
        turns = sides[:-1, 0] * sides[1:, 1] - sides[:-1, 1] * sides[1:, 0]
        return bool((turns * np.sign(np.linalg.det(start.matrix[:2, :2])) > 0).all())
