"""Search every pose by structure, refine the best, keep what refines well.

With hand-made fields, which need no weights, and, where a network draws fields too, with both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from xmatch.correspondences import Correspondences
from xmatch.matchers import Hypothesis, Matcher, Matches, SearchRange, says_something
from xmatch.matchers.coarse import by_hand as edges
from xmatch.matchers.refine import LEVELS, Refiner
from xmatch.matchers.search import distinct, search
from xmatch.matchers.structure import Describe
from xmatch.raster import View


@dataclass(frozen=True)
class Pass:
    """A search of all poses, and how many of them are refined and handed on."""

    side_px: float
    angle_step_deg: float
    scale_step: float
    found: int
    refined: int
    kept: int

    def __call__(
        self, fixed: View, moving: View, within: SearchRange, threads: int, describe: Describe
    ) -> list[Hypothesis]:
        return search(
            fixed,
            moving,
            within,
            side_px=self.side_px,
            angle_step_deg=self.angle_step_deg,
            scale_step=self.scale_step,
            keep=self.found,
            threads=threads,
            describe=describe,
        )


BY_HAND = Pass(side_px=300, angle_step_deg=5.0, scale_step=1.12, found=16, refined=8, kept=6)
QUICK = Pass(side_px=200, angle_step_deg=6.0, scale_step=1.15, found=8, refined=4, kept=3)
DRAWN = Pass(side_px=240, angle_step_deg=6.0, scale_step=1.15, found=16, refined=16, kept=12)
"""Where moving shows a small part of fixed, the right pose is far down the drawn search's list."""


class Structural:
    """
    Args:
        name: what it is called.
        by_hand: how hand-made fields are searched.
        fields: draws further fields to search by.
        otherwise: as `Matcher.otherwise`.
    """

    def __init__(
        self,
        name: str = "structural",
        by_hand: Pass = BY_HAND,
        fields: Describe | None = None,
        otherwise: Callable[[], Matcher] | None = None,
    ) -> None:
        self.name, self._fields, self.otherwise = name, fields, otherwise
        self._passes = [(by_hand, edges)] if fields is None else [(by_hand, edges), (DRAWN, fields)]

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Matches without correspondences: its evidence is the image as a whole. Nothing is drawn: no seed."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        coarse, fine = Refiner(fixed, moving, LEVELS[:1]), Refiner(fixed, moving, LEVELS[1:])
        kept: list[Hypothesis] = []
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for one, describe in self._passes:
                nearby = list(pool.map(coarse, one(fixed, moving, within, threads, describe)))
                # The search's own order and the refined one fail on different pairs: both have a say.
                chosen = distinct(_in_turn(_by_score(nearby), nearby), moving, limit=one.refined, apart=0.0)
                refined = _by_score(pool.map(fine, chosen))
                kept += distinct(refined, moving, limit=one.kept, apart=0.04)
        # What both searches find is measured once.
        poses = distinct(_by_score(kept), moving, limit=len(kept), apart=0.02)
        return Matches(tuple(poses), Correspondences.empty(), self._fields)


def _by_score(poses: Iterable[Hypothesis]) -> list[Hypothesis]:
    return sorted(poses, key=lambda pose: -pose.score)


def _in_turn(one: list[Hypothesis], other: list[Hypothesis]) -> list[Hypothesis]:
    """The first of each list, then the second of each, and so on."""
    return list(chain(*zip(one, other, strict=True)))
