"""Search every pose by structure, refine the best, keep what refines well.

By hand-made fields, which need no weights, or by fields that a network draws, which hold the hand-made ones.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from xmatch.correspondences import Correspondences
from xmatch.matchers import Hypothesis, Matches, SearchRange, says_something
from xmatch.matchers.coarse import by_hand
from xmatch.matchers.refine import LEVELS, Refiner
from xmatch.matchers.search import distinct, search
from xmatch.matchers.structure import Describe
from xmatch.raster import View

SEARCH: dict[str, Any] = {"side_px": 300, "angle_step_deg": 5.0, "scale_step": 1.12, "keep": 16}
REFINED, KEPT = 8, 6


class Structural:
    """
    Args:
        name: what it is called.
        fields: draws the fields to search by; by hand if None.
    """

    def __init__(self, name: str = "structural", fields: Describe | None = None) -> None:
        self.name, self._fields = name, fields

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Matches without correspondences: its evidence is the image as a whole. Nothing is drawn: no seed."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        found = search(fixed, moving, within, threads=threads, describe=self._fields or by_hand, **SEARCH)
        coarse, fine = Refiner(fixed, moving, LEVELS[:1]), Refiner(fixed, moving, LEVELS[1:])
        with ThreadPoolExecutor(max(1, threads)) as pool:
            nearby = list(pool.map(coarse, found))
            # The search's own order and the refined one fail on different pairs: both have a say.
            refined = sorted(nearby, key=lambda pose: -pose.score)
            chosen = distinct(_in_turn(refined, nearby), moving, limit=REFINED, apart=0.0)
            refined = list(pool.map(fine, chosen))
        refined.sort(key=lambda pose: -pose.score)
        # Refined poses are scored by hand-made fields: they must not throw out what only the network sees.
        kept = distinct(refined, moving, limit=KEPT if self._fields is None else REFINED, apart=0.04)
        return Matches(tuple(kept), Correspondences.empty(), self._fields)


def _in_turn(one: list[Hypothesis], other: list[Hypothesis]) -> list[Hypothesis]:
    """The first of each list, then the second of each, and so on."""
    return list(chain(*zip(one, other, strict=True)))
