"""What speaks for and against a map between two images: measures in numbers, before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import lgamma, log, log1p
from typing import TypeAlias

import numpy as np

from xmatch.coords import Floats, Mask, corners
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.geometry import Transform
from xmatch.geometry.matrices import off_affine_px, scale_of
from xmatch.geometry.neighbours import nearest
from xmatch.geometry.outlines import cell_centres, finite, nodes_over
from xmatch.raster import View
from xmatch.verification.alignment import FORWARD_BACKWARD_PX, Alignment
from xmatch.verification.measures import RANGES
from xmatch.verification.repetition import repetition

REACH_PX = 8.0
"""How far tie points look (`NARROW`)."""
TIE_PX = 2.0
"""Inliers lie within this of the map, and are compared with what chance puts there. Not tuned."""
NO_RIVAL = RANGES["lead"][1]
NEIGHBOURS = 8
"""Tie points around one that it is compared with: those next to it on a lattice."""
BEND_NODES = 17
"""Places each way at which a map is compared with the affine one nearest to it. Not tuned."""
REGION_OFF_PX, REGION_APART_PX, REGION_NEIGHBOURS = 4.0, 3.0, 4
"""A region lies off the map from so many px on, and where its neighbours say when it is nearer than this to the median
of so many. Not tuned."""
MOST_OFF, MOST_OFF_FOR_ON = 0.1, 0.5
"""Share of all regions that may lie off so, and for each that lies on the map: none of 66 right alignments of SRIF's
training split has more (lab log)."""
EMPTY, FULL, PART = 0.15, 0.6, 0.2
"""Where this share of neighbouring tie points agree with the map at most, nothing does, where that share at least, most
do, and either is a part of the image from such a share of the tie points on. Not tuned: of tie points that agree by
chance, be they a third or a half, one in twenty at most has neighbours of the one kind or the other."""
FEWEST = 12
"""Tie points below which nothing is said of how they follow each other. Not tuned."""

Map: TypeAlias = Callable[[Floats], Floats]
"""(N, 2) moving view px -> fixed view px."""


@dataclass(frozen=True)
class Following:
    """How tie points follow a map, and how they follow one another where they do not follow it."""

    count: int
    agreeing: int
    """Tie points within `TIE_PX` matched px of where the map puts them."""
    coherent: int
    """Tie points that lie off the map by what their neighbours are off, to within `TIE_PX`: what a map that bends
    would explain."""
    regions_share: float = 1.0
    """Share of regions that lie where the map puts them."""
    regions_off: float = 0.0
    """Share of regions that lie off the map, and where their neighbours say."""
    silent: float = 0.0
    """Share of tie points in a part of the image where hardly any agree with the map or with each other, if in another
    part most do: one image may show something else there."""

    apart: float = 0.0
    """Share of tie points that agree with those around, which together lie off the map, if they are a part of the
    image: what stands on the ground, or bends, is not followed there."""

    @property
    def share(self) -> float:
        return self.agreeing / self.count if self.count else 0.0

    @property
    def tie_points_bend(self) -> bool:
        """Whether most of what tie points agree on is left unexplained by the map."""
        return self.coherent >= max(FEWEST, 0.25 * self.count) and self.agreeing < 0.5 * self.coherent

    @property
    def is_bent(self) -> bool:
        """Whether the images agree on something else than the map."""
        return self.tie_points_bend or self.regions_off >= max(MOST_OFF, MOST_OFF_FOR_ON * self.regions_share)


def following(mapped_xy: Floats, fixed_xy: Floats, steady: Mask) -> Following:
    """How N tie points follow a map.

    Args:
        mapped_xy: (N, 2) where the map puts them in fixed, px as they were matched at.
        fixed_xy: (N, 2) where they lie.
        steady: (N,) bool: matching there and back returns to the start.
    """
    off = fixed_xy - mapped_xy
    distance = np.linalg.norm(off, axis=1)
    agreeing = int((distance < TIE_PX).sum())
    known = steady & np.isfinite(distance)
    if known.sum() < FEWEST:
        return Following(len(off), agreeing, agreeing)
    at, off = fixed_xy[known], off[known]
    _, around = nearest(at, at, NEIGHBOURS + 1)
    said = np.median(off[around[:, 1:]], axis=1)
    is_coherent, said_px = np.linalg.norm(off - said, axis=1) < TIE_PX, np.linalg.norm(said, axis=1)
    explained = distance < TIE_PX
    explained[known] |= is_coherent
    apart = float((is_coherent & (said_px >= TIE_PX)).sum() / len(distance))
    return Following(
        len(distance),
        agreeing,
        int(is_coherent.sum()),
        silent=_silent(fixed_xy, explained),
        apart=apart if apart >= PART else 0.0,
    )


def _silent(at: Floats, agrees: Mask) -> float:
    """Share of N places where hardly any of those around agree, if there is a part where most do."""
    _, around = nearest(at, at, NEIGHBOURS + 1)
    near = agrees[around].mean(axis=1)
    none, every = float((near <= EMPTY).mean()), float((near >= FULL).mean())
    return none if min(none, every) >= PART else 0.0


def followed_by(alignment: Alignment, mapped: Map | None = None) -> Following:
    """How the tie points and the regions of an alignment follow a map between the views, its pose unless another is
    given."""
    to_fixed = mapped or alignment.best.to_fixed
    ties = alignment.ties
    steady = alignment.forward_backward_px < FORWARD_BACKWARD_PX
    found = following(to_fixed(ties.moving_xy), ties.fixed_xy, steady)
    share, _ = _regions(alignment, to_fixed)
    return replace(found, regions_share=share, regions_off=regions_off(alignment, to_fixed))


def regions_off(alignment: Alignment, mapped: Map) -> float:
    """Share of regions that lie off a map between the views, and where their neighbours say."""
    regions = alignment.regions
    if len(regions) <= REGION_NEIGHBOURS:
        return 0.0
    off = regions.fixed_xy - mapped(regions.moving_xy)
    _, around = nearest(regions.fixed_xy, regions.fixed_xy, REGION_NEIGHBOURS + 1)
    apart = np.linalg.norm(off - np.median(off[around[:, 1:]], axis=1), axis=1)
    steady = alignment.regions_forward_backward_px < FORWARD_BACKWARD_PX
    found = steady & (apart < REGION_APART_PX) & (np.linalg.norm(off, axis=1) > REGION_OFF_PX)
    return float(found.mean()) if found.sum() >= 3 else 0.0


def _regions(alignment: Alignment, mapped: Map) -> tuple[float, float]:
    """Share of regions that lie where the map puts them, and how far three in four of the steady ones are off at most,
    fixed view px."""
    worst = RANGES["regions_px"][1]
    off_px = np.linalg.norm(mapped(alignment.regions.moving_xy) - alignment.regions.fixed_xy, axis=1)
    # Where a map is not defined, beyond a horizon for instance, nothing lies on it.
    off_px = np.nan_to_num(off_px, nan=worst)
    steady_px = off_px[alignment.regions_forward_backward_px < FORWARD_BACKWARD_PX]
    share = float((off_px < TIE_PX).mean()) if len(off_px) else 0.0
    return share, float(np.quantile(steady_px, 0.75)) if len(steady_px) else worst


def bending_px(mapped: Map, moving: View) -> float:
    """How far a map between views leaves the affine map nearest to it, 90th percentile over moving, fixed view px;
    as far as regions look where it is hardly defined."""
    places = nodes_over(moving.width, moving.height, BEND_NODES)
    landed = mapped(places)
    known = finite(landed)
    if known.sum() < FEWEST:
        return RANGES["regions_px"][1]
    return off_affine_px(places[known], landed[known])


def gather(
    alignment: Alignment,
    fixed: View,
    moving: View,
    seed: int,
    mapped: Map | None = None,
) -> dict[str, float]:
    """All measures of `RANGES`, "inliers" and "repetition"; lengths in fixed view px.

    Args:
        mapped: the map that is written, moving view px -> fixed view px; default the alignment's pose. What tie points
            say, they say of this map; what whole images say (structure, information, overlap), they say of the
            alignment's best map, which lies within the reach of tie points.
    """
    best, ties = alignment.best, alignment.ties
    to_fixed = mapped or best.to_fixed
    landed = to_fixed(ties.moving_xy)
    residual = np.linalg.norm(landed - ties.fixed_xy, axis=1)
    agrees = residual < TIE_PX
    count = len(ties)
    steady = alignment.forward_backward_px < FORWARD_BACKWARD_PX
    near = steady & (residual < 2 * TIE_PX)
    regions_share, regions_px = _regions(alignment, to_fixed)
    return {
        **{name: float(np.clip(v, *RANGES[name])) for name, v in best.measures.items() if name in RANGES},
        "lead": best.log_odds - alignment.rivals[0].log_odds if alignment.rivals else NO_RIVAL,
        "repetition": repetition(fixed, moving, best.matrix if best.refined is None else best.refined),
        "inliers": float(agrees.sum()),
        "inlier_share": float(agrees.mean()) if count else 0.0,
        "coverage": _coverage(ties[agrees], fixed, best.to_fixed, moving),
        "forward_backward_px": float(np.median(alignment.forward_backward_px)) if count else REACH_PX,
        # Windows overlap by half or more, so that only about a quarter of them speak for themselves.
        "chance_log10": _chance_log10(int(agrees.sum()) // 4, max(count // 4, 1)),
        "halves_px": _halves(Correspondences(ties.fixed_xy, landed, ties.certainty)[near], moving, best.to_fixed, seed),
        "regions_share": regions_share,
        "regions_px": regions_px,
        "sharpening_px": max(alignment.agreement.values(), default=0.0),
        "scale_change": float(abs(np.log(scale_of(best.matrix)))),
    }


def _chance_log10(agreeing: int, count: int) -> float:
    """log10 of the probability that chance alone puts so many of `count` tie points where the map wants them."""
    hit = np.pi * TIE_PX**2 / (2 * REACH_PX + 1) ** 2
    tail = np.logaddexp.reduce([_log_binomial(hits, count, hit) for hits in range(agreeing, count + 1)])
    return float(np.clip(tail / np.log(10), RANGES["chance_log10"][0], 0.0))


def _log_binomial(hits: int, count: int, hit: float) -> float:
    """Logarithm of the probability of so many hits among `count`, each of probability `hit`."""
    ways = lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1)
    return ways + hits * log(hit) + (count - hits) * log1p(-hit)


def _coverage(inliers: Correspondences, fixed: View, to_fixed: Transform, moving: View, cells: int = 6) -> float:
    """Share of the overlap's cells (6 x 6 over the fixed view) that hold an inlier."""
    size = (fixed.width, fixed.height)
    back = to_fixed.inverse(cell_centres(*size, cells, cells))
    shared = ((back > 0) & (back < (moving.width, moving.height))).all(axis=1)
    cell = np.clip((inliers.fixed_xy / size * cells).astype(int), 0, cells - 1)
    hit = np.zeros((cells, cells), bool)
    hit[cell[:, 1], cell[:, 0]] = True
    return float((hit.ravel() & shared).sum() / max(shared.sum(), 1))


def _halves(ties: Correspondences, moving: View, to_fixed: Transform, seed: int) -> float:
    """Distance of moving's corners under corrections of the map by two interleaved halves of its tie points, fixed view
    px; the largest that counts when a half has no fit.

    Args:
        ties: where the map puts each tie point, as its position in moving.
        to_fixed: moving view px -> fixed view px: where the corners lie.
    """
    worst = RANGES["halves_px"][1]
    if len(ties) < FEWEST:
        return worst
    # Neighbouring windows share pixels: a chessboard of rows keeps the halves from being copies of each other.
    order = np.lexsort((ties.fixed_xy[:, 0], ties.fixed_xy[:, 1]))
    one, other = (
        estimate(ties[order[part::2]], "similarity", seed=seed, tolerance_px=3.0).transform for part in (0, 1)
    )
    if one is None or other is None:
        return worst
    outline = to_fixed(corners(moving.width, moving.height))
    return float(min(worst, np.linalg.norm(one(outline) - other(outline), axis=1).mean()))
