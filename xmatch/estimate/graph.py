"""From maps between pairs of several images to one map an image: wrong pairs are told by loops, and left out.

An image's map is the chain of pairs along the surest way to the reference (bends included), corrected so that all
pairs agree. What a pair says counts as a whole: a wrong pair is wrong everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmatch.coords import Floats
from xmatch.estimate.adjustment import LEAST_CE90_PX, Adjustment, Tie
from xmatch.geometry import Linear, Transform, compose

FAR = 3.0
"""A pair contradicts the others where 90 % of its places are not within so many times its expected error."""

Way = tuple[int, ...]
"""Numbers of edges, from the start on."""


@dataclass(frozen=True, eq=False)
class Network:
    """Where every image lies in the reference."""

    maps: tuple[Transform | None, ...]
    """px of each image -> px of the reference; None where no undisputed tie leads there."""
    states: tuple[str, ...]
    """Of each tie: "used"; "disagrees": loops of the others contradict it; "disputed": it, or one that it contradicts,
    is wrong, and no further loop says which; "apart": no tie leads from there to the reference."""
    off_px: Floats
    """(ties,) 90 % of its places are within this of where its map and the images' put them, reference px; NaN where an
    image has no map."""
    in_loop: tuple[bool, ...]
    """Of each tie: it is used, and another way of used ties leads around it."""
    ce90_px: Floats
    """(images,) expected error, reference px: along the surest way, and no less than what its ties are off; NaN without
    a map."""


def solve(count: int, reference: int, ties: Sequence[Tie], size: tuple[int, int]) -> Network:
    """Maps of all images that agree with the ties, without those that contradict the rest.

    Ties are left out one by one, the worst first, until the rest agree, which is judged by corrections that a few wrong
    ties move little. A tie that no other way leads around contradicts nothing. One that is left out has loops against
    it if the other ways between its images have; where all of these share a tie, the two of them stand word against
    word, and neither is used.

    Args:
        count: of the images.
        reference: number of the one that keeps its place.
        ties: at most one of each two images.
        size: width and height of the reference, px.
    """
    kept = list(range(len(ties)))
    while True:
        kept_within, maps = _within(count, reference, ties, kept)
        if not kept_within:
            break
        adjustment = Adjustment([ties[k] for k in kept_within], maps, reference, size)
        adjustment.solve(robust=True)
        excess = adjustment.off_px() / (FAR * adjustment.expected_px)
        if excess.max() <= 1:
            break
        kept.remove(kept_within[int(np.argmax(excess))])
    left_out = [k for k in range(len(ties)) if k not in kept]
    ways = _ways(count, reference, ties, kept_within)
    bridges = _bridges([(ties[k].fixed, ties[k].moving) for k in kept_within], ways)
    disputed = set()
    for k in left_out:
        if against := bridges.intersection(set(ways[ties[k].fixed][1]) ^ set(ways[ties[k].moving][1])):
            disputed |= {k, *(kept_within[bridge] for bridge in against)}
    used, maps = _within(count, reference, ties, [k for k in kept_within if k not in disputed])
    if used:
        adjustment = Adjustment([ties[k] for k in used], maps, reference, size)
        adjustment.solve(robust=False)
        maps = adjustment.corrected()
    off_px = np.array([tie.off_px(maps) for tie in ties])
    states = ["apart"] * len(ties)
    for word, chosen in (("used", used), ("disagrees", left_out), ("disputed", disputed)):
        for k in chosen:
            states[k] = word
    single = {kept_within[bridge] for bridge in bridges}
    return Network(
        tuple(maps),
        tuple(states),
        off_px,
        tuple(state == "used" and k not in single for k, state in enumerate(states)),
        _expected(count, reference, [ties[k] for k in used], off_px[used], maps),
    )


def best_ways(count: int, start: int, edges: Sequence[tuple[int, int, float]]) -> list[tuple[float, Way]]:
    """The cheapest way from `start` to each of `count` nodes, and its cost; infinite and empty where none leads.

    Args:
        edges: (one, other, cost), to be gone both ways; no cost is negative.
    """
    found: list[tuple[float, Way]] = [(math.inf, ())] * count
    found[start] = (0.0, ())
    around: dict[int, list[tuple[int, int]]] = {}
    for k, (one, other, _) in enumerate(edges):
        around.setdefault(one, []).append((k, other))
        around.setdefault(other, []).append((k, one))
    still = set(range(count))
    while still:
        here = min(still, key=lambda node: found[node][0])
        still.remove(here)
        cost, way = found[here]
        for k, there in around.get(here, ()):
            if cost + edges[k][2] < found[there][0]:
                found[there] = (cost + edges[k][2], (*way, k))
    return found


def _ways(count: int, reference: int, ties: Sequence[Tie], chosen: Sequence[int]) -> list[tuple[float, Way]]:
    """The surest ways through the chosen ties, which the ways count from 0."""
    costs = [max(ties[k].ce90_px, LEAST_CE90_PX) ** 2 for k in chosen]
    return best_ways(count, reference, [(ties[k].fixed, ties[k].moving, c) for k, c in zip(chosen, costs, strict=True)])


def _within(
    count: int, reference: int, ties: Sequence[Tie], chosen: Sequence[int]
) -> tuple[list[int], list[Transform | None]]:
    """Those of the chosen ties that hang together with the reference, and each image's chain to it."""
    maps: list[Transform | None] = []
    for cost, way in _ways(count, reference, ties, chosen):
        steps: list[Transform] = [Linear(np.eye(3), "translation")]
        here = reference
        for tie in (ties[chosen[k]] for k in way):
            forwards = tie.fixed == here
            steps.append(tie.transform if forwards else tie.transform.inverse)
            here = tie.moving if forwards else tie.fixed
        maps.append(compose(*reversed(steps)) if math.isfinite(cost) else None)
    return [k for k in chosen if maps[ties[k].fixed] is not None], maps


def _bridges(edges: Sequence[tuple[int, int]], ways: Sequence[tuple[float, Way]]) -> set[int]:
    """Edges that no other way leads around: those of the ways that no further edge closes a loop over."""
    tree = {k for _, way in ways for k in way}
    looped: set[int] = set()
    for k, (one, other) in enumerate(edges):
        if k not in tree:
            looped |= set(ways[one][1]) ^ set(ways[other][1])
    return tree - looped


def _expected(
    count: int, reference: int, used: Sequence[Tie], off_px: Floats, maps: Sequence[Transform | None]
) -> Floats:
    """(images,) expected errors, see `Network.ce90_px`."""
    squares = [(tie.fixed, tie.moving, tie.ce90_in_reference(maps) ** 2) for tie in used]
    costs = np.array([cost for cost, _ in best_ways(count, reference, squares)])
    ce90 = np.where(np.isfinite(costs), np.sqrt(costs), np.nan)
    for tie, off in zip(used, off_px, strict=True):
        for image in {tie.fixed, tie.moving} - {reference}:
            ce90[image] = np.fmax(ce90[image], off)
    return ce90
