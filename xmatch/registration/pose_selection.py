"""From a matcher's guesses to one alignment of two views: judge them, sharpen the best, judge again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from xmatch.coords import Floats, corners
from xmatch.estimate import estimate
from xmatch.geometry import Transform
from xmatch.geometry.matrices import apply_projective, nearest_affine, scale_of
from xmatch.geometry.outlines import nodes_over
from xmatch.matchers.base import Matches, Proposal
from xmatch.matchers.search.fourier import distinct
from xmatch.raster import View
from xmatch.registration.map_refinement import MapRefiner
from xmatch.registration.tie_points import NARROW, WIDE, Windows, regional, tie_points
from xmatch.verification.alignment import FORWARD_BACKWARD_PX, Alignment, ScoredProposal
from xmatch.verification.judge import ProposalJudge

JUDGED = 18
"""Proposals that are judged at most: 15 by edges and a network, and those of georeferencing and correspondences."""
SHARPENED, CLOSE = 2, 4.0
"""Proposals that are sharpened at most, and how near (log-odds) they must come to the best judged one. Not tuned."""
TRUSTED = ((NARROW, 0.3), (WIDE, 0.2))
"""Windows of tie points, tried in this order, and the share of them that must agree for their fit to be taken as it is.
Wide ones find each other where little runs alike, and say less exactly where: from 10 to 25 % of them came out alike
(lab log, "Wider windows agree")."""
TIE_TOLERANCE_PX = 2.0
"""As `TIE_PX` of the evidence."""
MIN_TIES = 8
"""Tie points that make a pose. Not tuned."""
STARTS = 3
"""Poses from which a map is refined at most. Not tuned."""
CLEARLY = 0.5
"""Log-odds by which a refined map must be better than the pose, which has less freedom to fit by chance. Not tuned."""
ELSEWHERE = 0.05
"""A rival's corners lie further off than this share of the side. Not tuned."""


def align(
    fixed: View,
    moving: View,
    matches: Matches,
    *,
    seed: int,
    threads: int,
    given: Floats | None = None,
) -> Alignment | None:
    """The alignment of `moving` on `fixed` that the judge finds best among all guesses; None when there are none.

    Args:
        given: a pose that stands for election too, (3, 3) moving view px -> fixed view px: what georeferencing says.
    """
    poses = _poses(matches, moving, seed)
    if not poses:
        return None
    if given is not None:
        poses.insert(0, Proposal(given, 0.0))
    judge = ProposalJudge(fixed, moving, matches.descriptor)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        judged = list(pool.map(lambda pose: _judged(judge, pose.matrix, "match"), poses[:JUDGED]))
        judged.sort(key=lambda candidate: -candidate.log_odds)
        close = [candidate for candidate in judged[:SHARPENED] if candidate.log_odds > judged[0].log_odds - CLOSE]
        finals = list(pool.map(lambda start: _sharpened(fixed, moving, judge, start, seed), close))
    best = max((c for group in finals for c in group), key=lambda candidate: candidate.log_odds)
    group = next(group for group in finals if any(c is best for c in group))
    outline = Proposal(best.matrix, 0.0)
    others = [
        c for c in judged if len(distinct([outline, Proposal(c.matrix, 0.0)], moving, limit=2, apart=ELSEWHERE)) == 2
    ]
    ties, there_and_back = tie_points(fixed, moving, best.matrix)
    regions, regions_there_and_back = tie_points(fixed, moving, best.matrix, regional(fixed))
    return Alignment(
        best=best,
        rival=others[0] if others else None,
        ties=ties,
        forward_backward_px=there_and_back,
        regions=regions,
        regions_forward_backward_px=regions_there_and_back,
        agreement={c.made_by: corner_distance(best.matrix, c.matrix, moving) for c in group if c is not best},
        starts=(best.matrix, *(c.matrix for c in others[: STARTS - 1])),
    )


def refined_alignments(
    fixed: View, moving: View, matches: Matches, alignment: Alignment, *, seed: int
) -> Iterator[Alignment]:
    """Alignments by a homography from each start, where the judge clearly prefers it to the pose."""
    judge, refiner = ProposalJudge(fixed, moving, matches.descriptor), MapRefiner(fixed, moving, seed=seed)
    for start in alignment.starts:
        refined = _refined(judge, refiner(start))
        if refined.log_odds > alignment.best.log_odds + CLEARLY:
            yield _around(fixed, moving, alignment, refined)


def bent_alignment(fixed: View, moving: View, matches: Matches, alignment: Alignment, *, seed: int) -> Alignment | None:
    """The alignment by a map that bends about its best one; None where there is too little to follow."""
    bent = MapRefiner(fixed, moving, seed=seed).bent(alignment.best.to_fixed)
    if bent is None:
        return None
    return _around(fixed, moving, alignment, _refined(ProposalJudge(fixed, moving, matches.descriptor), bent))


def _refined(judge: ProposalJudge, to_fixed: Transform) -> ScoredProposal:
    places = nodes_over(judge.moving.width, judge.moving.height, 5)
    measures = judge(to_fixed)
    nearest = nearest_affine(places, to_fixed(places))
    return ScoredProposal(nearest, measures, judge.log_odds(measures), "refined", to_fixed)


def _around(fixed: View, moving: View, alignment: Alignment, refined: ScoredProposal) -> Alignment:
    """The alignment with a refined map as its best, and what lies around that."""
    ties, there_and_back = tie_points(fixed, moving, refined.to_fixed)
    regions, regions_there_and_back = tie_points(fixed, moving, refined.to_fixed, regional(fixed))
    return replace(
        alignment,
        best=refined,
        ties=ties,
        forward_backward_px=there_and_back,
        regions=regions,
        regions_forward_backward_px=regions_there_and_back,
    )


def corner_distance(one: Floats, other: Floats, moving: View) -> float:
    """Mean distance of moving's corners under two maps, fixed view px."""
    outline = corners(moving.width, moving.height)
    apart = apply_projective(one, outline) - apply_projective(other, outline)
    return float(np.linalg.norm(apart, axis=1).mean())


def similar(matrix: Floats, moving: View) -> Floats:
    """The similarity nearest to an affine map, the same at moving's centre: working sizes are whole px, which leaves
    poses that were found at them a few parts in a thousand longer one way than the other."""
    u, _, vt = np.linalg.svd(matrix[:2, :2])
    centre = np.array([moving.width / 2, moving.height / 2])
    nearest = np.eye(3)
    nearest[:2, :2] = scale_of(matrix) * u @ vt
    nearest[:2, 2] = matrix[:2, :2] @ centre + matrix[:2, 2] - nearest[:2, :2] @ centre
    return nearest


def _poses(matches: Matches, moving: View, seed: int) -> list[Proposal]:
    """Whole poses: the matcher's own, and the one that its correspondences agree on."""
    poses = list(matches.proposals)
    if len(matches.correspondences) >= 3:
        fitted = estimate(matches.correspondences, "similarity", seed=seed, tolerance_px=3.0)
        if fitted.matrix is not None:
            poses.insert(0, Proposal(fitted.matrix, float(fitted.inliers.sum())))
    return poses


def _judged(judge: ProposalJudge, matrix: Floats, made_by: str) -> ScoredProposal:
    matrix = similar(matrix, judge.moving)
    measures = judge(matrix)
    return ScoredProposal(matrix, measures, judge.log_odds(measures), made_by)


def _sharpened(
    fixed: View, moving: View, judge: ProposalJudge, start: ScoredProposal, seed: int
) -> list[ScoredProposal]:
    """The candidate, and what tie points make of it."""
    candidates = [start]
    for windows, trusted_share in TRUSTED:
        tied, share = refit(fixed, moving, start.matrix, seed, windows)
        if tied is None:
            continue
        candidate = _judged(judge, tied, "ties")
        if share >= trusted_share:
            return [start, replace(candidate, log_odds=max(candidate.log_odds, start.log_odds + 1e-6))]
        candidates.append(candidate)
    return candidates


def refit(
    fixed: View, moving: View, matrix: Floats, seed: int, windows: Windows = NARROW
) -> tuple[Floats | None, float]:
    """The similarity that tie points around a pose agree on, None when too few agree; and the share that agrees."""
    ties, there_and_back = tie_points(fixed, moving, matrix, windows)
    steady = ties[there_and_back < FORWARD_BACKWARD_PX]
    if len(steady) < MIN_TIES:
        return None, 0.0
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    fitted = estimate(steady, "similarity", seed=seed, tolerance_px=TIE_TOLERANCE_PX, allow_mirror=mirrored)
    if fitted.matrix is None or fitted.inliers.sum() < MIN_TIES:
        return None, 0.0
    return fitted.matrix, float(fitted.inliers.sum() / len(ties))
