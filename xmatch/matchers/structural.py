"""Search every pose by structure, refine the best, keep what refines well.

By edges, which need no weights, and, where a network describes images too, by both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from xmatch.matchers.base import Matches, Proposal, SearchRange, has_texture
from xmatch.matchers.search.descriptors import Descriptor
from xmatch.matchers.search.fourier import distinct, search
from xmatch.matchers.search.gauss_newton import LEVELS, PoseRefiner
from xmatch.matchers.search.pooled_descriptors import pooled_edge_descriptors
from xmatch.matchers.search.settings import EDGE_SEARCH, LEARNED_SEARCH, SAME_POSE, SearchSettings
from xmatch.ops.batching import together
from xmatch.raster import View


def propose(
    fixed: View,
    moving: View,
    within: SearchRange,
    settings: SearchSettings,
    descriptor: Descriptor = pooled_edge_descriptors,
    *,
    threads: int,
    device: str = "cpu",
) -> list[Proposal]:
    """Refined poses of `moving` on `fixed` by one descriptor, best first, no two alike.

    Args:
        threads: of a CPU, at most so many.
        device: "cpu", or where to search and refine, with the same poses.
    """
    if device != "cpu":
        from xmatch.matchers.search import on_device

        describe = on_device.describer(descriptor)
        if describe is not None:
            return together(on_device.propose, [(fixed, moving, within)], settings, device, describe)[0]
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
        device: where poses are searched.
    """

    wants_colour = False

    def __init__(self, name: str = "structural", descriptor: Descriptor | None = None, device: str = "cpu") -> None:
        self.name, self._descriptor, self._device = name, descriptor, device

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
            by_edges = tuple(propose(fixed, moving, within, EDGE_SEARCH, threads=threads, device=self._device))
        kept = list(by_edges)
        if self._descriptor is not None:
            kept += propose(
                fixed, moving, within, LEARNED_SEARCH, self._descriptor, threads=threads, device=self._device
            )
        # What both searches find is measured once.
        poses = distinct(_by_score(kept), moving, limit=len(kept), apart=SAME_POSE)
        return Matches(tuple(poses), descriptor=self._descriptor, edge_proposals=by_edges)


def _by_score(poses: Iterable[Proposal]) -> list[Proposal]:
    return sorted(poses, key=lambda pose: -pose.score)


def _in_turn(one: Sequence[Proposal], other: Sequence[Proposal]) -> list[Proposal]:
    """The first of each, then the second of each, and so on."""
    return list(chain(*zip(one, other, strict=True)))
