"""Search every pose by structure, refine the best, keep what refines well.

With hand-made fields, which need no weights, and, where a network draws fields too, with both.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from xmatch.correspondences import Correspondences
from xmatch.matchers import Hypothesis, Matches, SearchRange, says_something
from xmatch.matchers.refine import LEVELS, Refiner
from xmatch.matchers.search import distinct, search
from xmatch.matchers.structure import Describe
from xmatch.raster import View

BY_HAND: dict[str, Any] = {"side_px": 300, "angle_step_deg": 5.0, "scale_step": 1.12, "keep": 16}
DRAWN: dict[str, Any] = {"side_px": 240, "angle_step_deg": 6.0, "scale_step": 1.15, "keep": 16}
REFINED, KEPT = (8, 16), (6, 12)
"""Of each search. Where moving shows a small part of fixed, the right pose is far down the drawn search's list."""


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
        kept = []
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for found, among, limit in zip(lists, REFINED, KEPT, strict=False):
                nearby = list(pool.map(coarse, found))
                # The search's own order and the refined one fail on different pairs: both have a say.
                chosen = distinct(_in_turn(_by_score(nearby), nearby), moving, limit=among, apart=0.0)
                refined = _by_score(pool.map(fine, chosen))
                kept.append(distinct(refined, moving, limit=limit, apart=0.04))
        # What both searches find is measured once.
        poses = distinct(_by_score(chain(*kept)), moving, limit=sum(KEPT), apart=0.02)
        return Matches(tuple(poses), Correspondences.empty(), self._fields)


def _by_score(poses: Iterable[Hypothesis]) -> list[Hypothesis]:
    return sorted(poses, key=lambda pose: -pose.score)


def _in_turn(one: list[Hypothesis], other: list[Hypothesis]) -> list[Hypothesis]:
    """The first of each list, then the second of each, and so on."""
    return list(chain(*zip(one, other, strict=True)))
