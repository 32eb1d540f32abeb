"""Search every pose by structure, refine the best, keep what refines well.

By edges, which need no weights, and, where a network describes images too, by both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

from xmatch.matchers.base import Matches, Proposal, SearchRange, has_texture
from xmatch.matchers.search.descriptors import Descriptor
from xmatch.matchers.search.fourier import distinct, search
from xmatch.matchers.search.gauss_newton import LEVELS, PoseRefiner
from xmatch.matchers.search.pooled_descriptors import pooled_edge_descriptors
from xmatch.raster import View


@dataclass(frozen=True)
class SearchSettings:
    """How finely all poses are searched, and how many of them are refined and handed on."""

    side_px: float
    """The fixed view is reduced to side_px^2 pixels."""
    angle_step_deg: float
    scale_step: float
    """Ratio of neighbouring scales."""
    found: int
    """Proposals of the search."""
    refined: int
    """Those of them that are refined at the finest level."""
    kept: int
    """Those of them that are handed on."""


EDGE_SEARCH = SearchSettings(side_px=200, angle_step_deg=6.0, scale_step=1.15, found=8, refined=4, kept=3)
"""As right as 300 px, 5 degrees, 12 %, 16, 8 and 6 on 72 training pairs, in less than half the time (lab log,
"A coarser search costs nothing")."""
LEARNED_SEARCH = SearchSettings(side_px=240, angle_step_deg=6.0, scale_step=1.15, found=16, refined=16, kept=12)
"""Where moving shows a small part of fixed, the right pose is far down the learned search's list."""
SAME_POSE = 0.02
"""Proposals whose corners lie nearer than this share of the side are measured once. Not tuned."""


def propose(
    fixed: View,
    moving: View,
    within: SearchRange,
    settings: SearchSettings,
    descriptor: Descriptor = pooled_edge_descriptors,
    *,
    threads: int,
) -> list[Proposal]:
    """Refined poses of `moving` on `fixed` by one descriptor, best first, no two alike."""
    found = search(
        fixed,
        moving,
        within,
        side_px=settings.side_px,
        angle_step_deg=settings.angle_step_deg,
        scale_step=settings.scale_step,
        keep=settings.found,
        threads=threads,
        descriptor=descriptor,
    )
    coarse, fine = PoseRefiner(fixed, moving, LEVELS[:1]), PoseRefiner(fixed, moving, LEVELS[1:])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        nearby = list(pool.map(coarse, found))
        # The search's own order and the refined one fail on different pairs: both have a say.
        chosen = distinct(_in_turn(_by_score(nearby), nearby), moving, limit=settings.refined, apart=0.0)
        refined = _by_score(pool.map(fine, chosen))
    return distinct(refined, moving, limit=settings.kept, apart=2 * SAME_POSE)


class Structural:
    """Searches by edges and, with a `descriptor`, by that as well.

    Args:
        name: what it is called.
        descriptor: a second one, besides edges.
    """

    wants_colour = False

    def __init__(self, name: str = "structural", descriptor: Descriptor | None = None) -> None:
        self.name, self._descriptor = name, descriptor

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
        """Matches without correspondences: its evidence is the image as a whole. Nothing is drawn by chance: no seed.

        The search by edges is not made again where `earlier` has it.
        """
        if not (has_texture(fixed) and has_texture(moving)):
            return Matches()
        by_edges = None if earlier is None else earlier.edge_proposals
        if by_edges is None:
            by_edges = tuple(propose(fixed, moving, within, EDGE_SEARCH, threads=threads))
        kept = list(by_edges)
        if self._descriptor is not None:
            kept += propose(fixed, moving, within, LEARNED_SEARCH, self._descriptor, threads=threads)
        # What both searches find is measured once.
        poses = distinct(_by_score(kept), moving, limit=len(kept), apart=SAME_POSE)
        return Matches(tuple(poses), descriptor=self._descriptor, edge_proposals=by_edges)


def _by_score(poses: Iterable[Proposal]) -> list[Proposal]:
    return sorted(poses, key=lambda pose: -pose.score)


def _in_turn(one: Sequence[Proposal], other: Sequence[Proposal]) -> list[Proposal]:
    """The first of each, then the second of each, and so on."""
    return list(chain(*zip(one, other, strict=True)))
