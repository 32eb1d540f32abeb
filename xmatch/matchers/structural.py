"""The matcher that needs no weights: search every pose by structure, refine the best, keep what refines well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from xmatch.correspondences import Correspondences
from xmatch.matchers import Matches, SearchRange, says_something
from xmatch.matchers.refine import LEVELS, Refiner
from xmatch.matchers.search import distinct, search
from xmatch.raster import View

SEARCH_SIDE_PX = 140
ANGLE_STEP_DEG = 4.0
SCALE_STEP = 1.09
SEARCHED, REFINED, KEPT = 24, 8, 6


class Structural:
    name = "structural"

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Matches without correspondences: its evidence is the image as a whole. Nothing is drawn: no seed."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        poses = search(
            fixed,
            moving,
            within,
            side_px=SEARCH_SIDE_PX,
            angle_step_deg=ANGLE_STEP_DEG,
            scale_step=SCALE_STEP,
            keep=SEARCHED,
            threads=threads,
        )
        coarse, fine = Refiner(fixed, moving, LEVELS[:1]), Refiner(fixed, moving, LEVELS[1:])
        with ThreadPoolExecutor(max(1, threads)) as pool:
            nearby = list(pool.map(coarse, poses))
            # The search's own order and the refined one fail on different pairs: both have a say.
            order = sorted(range(len(poses)), key=lambda i: -nearby[i].score)
            chosen = dict.fromkeys([i for pair in zip(order, range(len(poses)), strict=True) for i in pair])
            refined = list(pool.map(fine, [nearby[i] for i in list(chosen)[:REFINED]]))
        refined.sort(key=lambda pose: -pose.score)
        kept = distinct(refined, moving, limit=KEPT, apart=0.04)
        return Matches(tuple(kept), Correspondences.empty())
