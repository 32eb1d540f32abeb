"""Several images onto one of them: pairs registered, maps made consistent over the graph, a verdict on each image.

Only pairs that their own verdicts trust are used. One that was refused stays out even where it agrees with the rest:
what makes two pairs wrong alike (a repeated pattern, georeferencing that both started from) makes loops close, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from xmatch.coords import Floats, Mask
from xmatch.correspondences import Correspondences
from xmatch.errors import InputError
from xmatch.estimate.adjustment import Tie
from xmatch.estimate.graph import Network, solve
from xmatch.geometry import Linear, Transform
from xmatch.geometry.outlines import cell_centres, finite, inside
from xmatch.io.rasters.source import Source
from xmatch.registration.ground import ground_size
from xmatch.registration.group_verdict import verdict_on_image
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import Progress, written_as_one
from xmatch.result import GroupRegistration, Loop, PairInGroup, Registration

FEW_IMAGES = 8
"""So many, or fewer, are all registered with each other: 28 pairs."""
PAIRS_PER_IMAGE = 4
"""Of more: with the 1st, 2nd, 4th and 8th after it, so that loops of three close at two lengths."""
PLACES_ACROSS = 12
"""Of the lattice by which maps are compared, over each moving image."""
LEAST_PLACES = 8
"""Fewer say nothing of an overlap: then it is the tie points that are compared."""
EXPLAINED = 2.0
"""Points that lie within so many times the expected error (a px at least) are explained by the group's map."""
LOOK_PX = 128
"""Longest side of the look that says where an image holds data. Not tuned."""


@dataclass(frozen=True)
class GroupOptions:
    register: RegisterOptions = RegisterOptions()
    """Of each pair."""
    reference: int = 0
    """Number of the image that stays."""
    pairs_per_image: int | None = None
    """Later ones that each image is registered with: the 1st, 2nd, 4th, 8th ... after it. None: all where there are
    few, `PAIRS_PER_IMAGE` of many."""


def pairs_of(count: int, per_image: int | None, reference: int) -> list[tuple[int, int]]:
    """(fixed, moving) of the pairs to register, of `count` images in the order in which they were taken.

    The reference is fixed in each of its pairs, else the earlier one is.
    """
    if per_image is None and count <= FEW_IMAGES:
        steps = list(range(1, count))
    else:
        steps = [2**k for k in range(per_image or PAIRS_PER_IMAGE)]
    found = ((one, one + step) for step in steps for one in range(count - step))
    return [(other, one) if other == reference else (one, other) for one, other in found]


def register_group(
    sources: Sequence[Source], options: GroupOptions = GroupOptions(), progress: Progress | None = None
) -> GroupRegistration:
    """Register images onto one of them, each by all the others.

    Args:
        sources: the open files, in the order in which they were taken.

    Raises:
        UsageError: options that `xmatch.registration.pipeline.register` refuses. A pair that cannot be registered is
            named in the result, and stops nothing.
    """
    from xmatch.provenance import describe

    start = time.perf_counter()
    chosen = pairs_of(len(sources), options.pairs_per_image, options.reference)
    found: list[Registration | InputError] = []
    for number, (fixed, moving) in enumerate(chosen):
        if progress:
            progress(f"pair {number + 1} of {len(chosen)}", number / len(chosen))
        found.append(_registered(sources[fixed], sources[moving], options.register))
    matched = time.perf_counter()
    seen = [_Seen.of(source) for source in sources]
    ties, tied = [], []
    for k, ((fixed, moving), one) in enumerate(zip(chosen, found, strict=True)):
        if isinstance(one, Registration) and one.verdict.accepted and one.transform is not None:
            places = _places(one, seen[fixed], seen[moving])
            if len(places):
                ties.append(Tie(fixed, moving, one.transform, places, one.verdict.ce90_px or 0.0))
                tied.append(k)
    reference = sources[options.reference].header
    network = solve(len(sources), options.reference, ties, (reference.width, reference.height))
    pairs = _pairs(chosen, found, seen, network, {k: number for number, k in enumerate(tied)})
    facts = [describe(source) for source in sources]
    images = [_image(number, sources, facts, network, pairs, found, options.reference) for number in range(len(facts))]
    seconds = {"pairs": matched - start, "graph": time.perf_counter() - matched, "total": time.perf_counter() - start}
    return GroupRegistration(
        options.reference,
        tuple(images),
        tuple(pairs),
        tuple(_loops(ties, seen)),
        seconds,
        {"options": asdict(options)},
    )


def _registered(fixed: Source, moving: Source, options: RegisterOptions) -> Registration | InputError:
    from xmatch.registration import pipeline

    try:
        return pipeline.register(fixed, moving, options)
    except InputError as error:
        return error


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where an image holds data, as far as a small look tells."""

    width: int
    height: int
    valid: Mask

    @staticmethod
    def of(source: Source) -> _Seen:
        header = source.header
        factor = min(1.0, LOOK_PX / max(header.width, header.height))
        size = (max(1, round(header.width * factor)), max(1, round(header.height * factor)))
        return _Seen(header.width, header.height, source.read(size=size).valid)

    def at(self, xy: Floats) -> Mask:
        """(N,) bool of positions (N, 2)."""
        found = finite(xy)
        found[found] = inside(xy[found], self.width, self.height)
        rows, columns = self.valid.shape
        column, row = (
            np.minimum(xy[found] * (columns / self.width, rows / self.height), (columns - 1, rows - 1)).astype(int).T
        )
        found[found] = self.valid[row, column]
        return found


def _places(registration: Registration, fixed: _Seen, moving: _Seen) -> Floats:
    """(N, 2) px of moving, over what both images show."""
    transform = registration.transform
    assert transform is not None
    places = cell_centres(moving.width, moving.height, PLACES_ACROSS, PLACES_ACROSS)
    places = places[moving.at(places)]
    places = places[fixed.at(transform(places))]
    if len(places) >= LEAST_PLACES:
        return places
    return np.asarray(registration.correspondences.moving_xy[registration.inliers], np.float64)


def _pairs(
    chosen: Sequence[tuple[int, int]],
    found: Sequence[Registration | InputError],
    seen: Sequence[_Seen],
    network: Network,
    tied: dict[int, int],
) -> list[PairInGroup]:
    """Every pair, with what the network says of it."""
    pairs = []
    for k, ((fixed, moving), one) in enumerate(zip(chosen, found, strict=True)):
        if isinstance(one, InputError):
            pairs.append(PairInGroup(fixed, moving, "failed", one.message))
            continue
        pair = PairInGroup(fixed, moving, "refused", one.verdict.reason, one.verdict, one.transform)
        if k in tied:
            off, state = network.off_px[tied[k]], network.states[tied[k]]
            pair = replace(pair, state=state, in_loop=network.in_loop[tied[k]], off_px=_known(off))
        elif one.transform is not None and len(places := _places(one, seen[fixed], seen[moving])):
            pair = replace(pair, off_px=_known(Tie(fixed, moving, one.transform, places, 0.0).off_px(network.maps)))
        pairs.append(pair)
    return pairs


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _image(
    number: int,
    sources: Sequence[Source],
    facts: Sequence[dict[str, Any]],
    network: Network,
    pairs: Sequence[PairInGroup],
    found: Sequence[Registration | InputError],
    reference: int,
) -> Registration:
    """One image onto the reference, by the network."""
    verdict = verdict_on_image(number, [one["path"] for one in facts], network, pairs, reference)
    if verdict.ce90_px is not None:
        ground = ground_size(sources[reference].header)
        in_ground = None if ground.per_px is None else verdict.ce90_px * ground.per_px
        verdict = replace(verdict, ce90_ground=in_ground, ground_unit=ground.unit)
    transform = network.maps[number]
    points = Correspondences.empty() if transform is None else _points(number, network, pairs, found)
    residual = np.zeros(0)
    if transform is not None:
        if not isinstance(transform, Linear):
            transform = written_as_one(transform, sources[number])
        residual = np.linalg.norm(transform(points.moving_xy) - points.fixed_xy, axis=1)
    return Registration(
        fixed=facts[reference],
        moving=facts[number],
        transform=transform,
        correspondences=points,
        inliers=residual <= EXPLAINED * max(1.0, verdict.ce90_px or 0.0),
        residual_px=residual,
        verdict=verdict,
        notes=sources[number].header.notes,
    )


def _points(
    number: int, network: Network, pairs: Sequence[PairInGroup], found: Sequence[Registration | InputError]
) -> Correspondences:
    """What agrees in the used pairs of an image, each point where the other image's map puts it in the reference."""
    parts = [Correspondences.empty()]
    for pair, one in zip(pairs, found, strict=True):
        if pair.state != "used" or number not in (pair.fixed, pair.moving) or not isinstance(one, Registration):
            continue
        points = one.correspondences[one.inliers]
        own, others, other = points.moving_xy, points.fixed_xy, pair.fixed
        if number == pair.fixed:
            own, others, other = others, own, pair.moving
        to_reference = network.maps[other]
        assert to_reference is not None  # a used pair leads to the reference on both sides
        parts.append(Correspondences(to_reference(others), own, points.certainty))
    joined = Correspondences(
        np.concatenate([part.fixed_xy for part in parts]),
        np.concatenate([part.moving_xy for part in parts]),
        np.concatenate([part.certainty for part in parts]),
    )
    return joined[finite(joined.fixed_xy)]


def _loops(ties: Sequence[Tie], seen: Sequence[_Seen]) -> Iterator[Loop]:
    """Every three images with a trusted pair of each two, and how far the pairs are from closing."""
    maps: dict[tuple[int, int], Transform] = {}
    around: dict[int, set[int]] = {}
    for tie in ties:
        maps[tie.fixed, tie.moving], maps[tie.moving, tie.fixed] = tie.transform, tie.transform.inverse
        around.setdefault(tie.fixed, set()).add(tie.moving)
        around.setdefault(tie.moving, set()).add(tie.fixed)
    for a in sorted(around):
        for b in sorted(one for one in around[a] if one > a):
            for c in sorted(one for one in around[a] & around[b] if one > b):
                places = cell_centres(seen[a].width, seen[a].height, PLACES_ACROSS, PLACES_ACROSS)
                in_b = maps[b, a](places)
                in_c = maps[c, b](in_b)
                shown = seen[a].at(places) & seen[b].at(in_b) & seen[c].at(in_c)
                apart = np.linalg.norm(maps[a, c](in_c[shown]) - places[shown], axis=1)
                apart = apart[np.isfinite(apart)]
                if len(apart) >= LEAST_PLACES:
                    yield Loop((a, b, c), float(np.quantile(apart, 0.9)))
