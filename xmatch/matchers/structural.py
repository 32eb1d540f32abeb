"""Search every pose by structure, refine the best, keep what refines well.

With hand-made fields, which need no weights, and, where a network draws fields too, with both.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from typing import Any

from xmatch.correspondences import Correspondences
from xmatch.matchers import Hypothesis, Matches, SearchRange, says_something
from xmatch.matchers.refine import LEVELS, Refiner
from xmatch.matchers.search import distinct, search
from xmatch.matchers.structure import Describe
from xmatch.raster import View

BY_HAND: dict[str, Any] = {"side_px": 300, "angle_step_deg": 5.0, "scale_step": 1.12, "keep": 16}
DRAWN: dict[str, Any] = {"side_px": 160, "angle_step_deg": 5.0, "scale_step": 1.12, "keep": 24}
"""Drawn fields are trained to bear turns of 2.5 degrees and scales of 5 % either way."""
REFINED, KEPT = 8, 6
"""For each search."""


class Structural:
    """
    Args:
        name: what it is called.
        fields: draws further fields to search by.
    """

    def __init__(self, name: str = "structural", fields: Describe | None = None) -> None:
        self.name, self._fields = name, fields

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Matches without correspondences: its evidence is the image as a whole. Nothing is drawn: no seed."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        lists = [search(fixed, moving, within, threads=threads, **BY_HAND)]
        if self._fields is not None:
            lists.append(search(fixed, moving, within, threads=threads, describe=self._fields, **DRAWN))
        coarse, fine = Refiner(fixed, moving, LEVELS[:1]), Refiner(fixed, moving, LEVELS[1:])
        with ThreadPoolExecutor(max(1, threads)) as pool:
            nearby = [list(pool.map(coarse, poses)) for poses in lists]
            # The searches' own order and the refined one fail on different pairs: all have a say.
            refined = sorted(chain(*nearby), key=lambda pose: -pose.score)
            chosen = distinct(_in_turn(refined, *nearby), moving, limit=REFINED * len(lists), apart=0.0)
            refined = list(pool.map(fine, chosen))
        refined.sort(key=lambda pose: -pose.score)
        kept = distinct(refined, moving, limit=KEPT * len(lists), apart=0.04)
        return Matches(tuple(kept), Correspondences.empty(), self._fields)


def _in_turn(*lists: list[Hypothesis]) -> list[Hypothesis]:
    """The first of each list, then the second of each, and so on."""
    return [pose for pose in chain(*zip_longest(*lists)) if pose is not None]
