"""Search every pose by structure, refine the best, keep what refines well.

With hand-made fields, which need no weights, and, where a network draws fields too, with both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from xmatch.correspondences import Correspondences
from xmatch.matchers.base import Hypothesis, Matcher, Matches, SearchRange, says_something
from xmatch.matchers.search.descriptors import Describe
from xmatch.matchers.search.fourier import distinct, search
from xmatch.matchers.search.gauss_newton import LEVELS, Refiner
from xmatch.matchers.search.pooled_descriptors import by_hand as edges
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


BY_HAND = Pass(side_px=200, angle_step_deg=6.0, scale_step=1.15, found=8, refined=4, kept=3)
DRAWN = Pass(side_px=240, angle_step_deg=6.0, scale_step=1.15, found=16, refined=16, kept=12)
"""Where moving shows a small part of fixed, the right pose is far down the drawn search's list."""


class Look:
    """A pass over the fields that `describe` makes.

    It remembers its last answers: where a second matcher is asked about the same views, near and everywhere, it need
    not look again.
    """

    def __init__(self, how: Pass, describe: Describe = edges) -> None:
        self._how, self._describe = how, describe
        self._answers: deque[tuple[View, View, tuple, list[Hypothesis]]] = deque(maxlen=2)

    def __call__(self, fixed: View, moving: View, within: SearchRange, threads: int) -> list[Hypothesis]:
        """The refined poses that are handed on, best first."""
        where = within.key
        for one, other, there, poses in self._answers:
            if one is fixed and other is moving and there == where:
                return poses
        poses = self._found(fixed, moving, within, threads)
        self._answers.append((fixed, moving, where, poses))
        return poses

    def _found(self, fixed: View, moving: View, within: SearchRange, threads: int) -> list[Hypothesis]:
        how = self._how
        found = search(
            fixed,
            moving,
            within,
            side_px=how.side_px,
            angle_step_deg=how.angle_step_deg,
            scale_step=how.scale_step,
            keep=how.found,
            threads=threads,
            describe=self._describe,
        )
        coarse, fine = Refiner(fixed, moving, LEVELS[:1]), Refiner(fixed, moving, LEVELS[1:])
        with ThreadPoolExecutor(max(1, threads)) as pool:
            nearby = list(pool.map(coarse, found))
            # The search's own order and the refined one fail on different pairs: both have a say.
            chosen = distinct(_in_turn(_by_score(nearby), nearby), moving, limit=how.refined, apart=0.0)
            refined = _by_score(pool.map(fine, chosen))
        return distinct(refined, moving, limit=how.kept, apart=0.04)


class Structural:
    """
    Args:
        name: what it is called.
        by_hand: the look at hand-made fields.
        fields: draws further fields to search by.
        otherwise: as `Matcher.otherwise`.
    """

    def __init__(
        self,
        name: str = "structural",
        by_hand: Look | None = None,
        fields: Describe | None = None,
        otherwise: Callable[[], Matcher] | None = None,
    ) -> None:
        self.name, self._fields, self.otherwise = name, fields, otherwise
        self._looks = [by_hand or Look(BY_HAND)] + ([] if fields is None else [Look(DRAWN, fields)])

    def __call__(self, fixed: View, moving: View, within: SearchRange, *, seed: int = 0, threads: int = 1) -> Matches:
        """Matches without correspondences: its evidence is the image as a whole. Nothing is drawn: no seed."""
        if not (says_something(fixed) and says_something(moving)):
            return Matches()
        kept = [pose for look in self._looks for pose in look(fixed, moving, within, threads)]
        # What both looks find is measured once.
        poses = distinct(_by_score(kept), moving, limit=len(kept), apart=0.02)
        return Matches(tuple(poses), Correspondences.empty(), self._fields)


def _by_score(poses: Iterable[Hypothesis]) -> list[Hypothesis]:
    return sorted(poses, key=lambda pose: -pose.score)


def _in_turn(one: list[Hypothesis], other: list[Hypothesis]) -> list[Hypothesis]:
    """The first of each list, then the second of each, and so on."""
    return list(chain(*zip(one, other, strict=True)))
