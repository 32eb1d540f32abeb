"""From a matcher's guesses to one alignment of two views: judge them, sharpen the best, judge again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from xmatch.coords import Floats, corners
from xmatch.estimate import ESTIMATORS, estimate
from xmatch.estimate.model import WeightedPoints, is_plausible, refine
from xmatch.geometry import Transform
from xmatch.geometry.matrices import apply_projective, nearest_affine, scale_of
from xmatch.geometry.outlines import nodes_over
from xmatch.matchers.base import Matches, Proposal
from xmatch.matchers.search.fourier import distinct
from xmatch.raster import View
from xmatch.registration.bend_refinement import AGAIN, BendRefiner
from xmatch.registration.map_refinement import MapRefiner
from xmatch.registration.tie_points import TiePointFinder
from xmatch.registration.windows import NARROW, WIDE, Windows, regional
from xmatch.verification.alignment import FORWARD_BACKWARD_PX, Alignment, ScoredProposal
from xmatch.verification.judge import ProposalJudge

JUDGED = 20
"""Proposals that are judged at most: 15 by edges and a network, 3 of keypoints, and that of georeferencing."""
SHARPENED, CLOSE = 2, 4.0
"""Proposals that are sharpened at most, and how near (log-odds) they must come to the best judged one. Not tuned."""
TRUSTED = ((NARROW, 0.3, "narrow ties"), (WIDE, 0.2, "wide ties"))
"""Windows of tie points, tried in this order, the share of them that must agree for their fit to be taken as it is, and
its name in `Alignment.agreement`.
Wide ones find each other where little runs alike, and say less exactly where: from 10 to 25 % of them came out alike
(lab log, "Wider windows agree")."""
TIE_TOLERANCE_PX = 2.0
"""As `TIE_PX` of the evidence."""
MAP_TIE_TOLERANCE_PX = 4.0
"""How far tie points may lie from a map that keypoints of small copies of the views agree on. Not tuned."""
STILL_PX = 1.0
"""A map that tie points move by less than this on average keeps those that it was moved by. Not tuned."""
MIN_TIES = 8
"""Tie points that make a pose. Not tuned."""
STARTS = 3
"""Poses from which a map is refined at most. Not tuned."""
CLEARLY = 0.5
"""Log-odds by which a refined map must be better than the pose, which has less freedom to fit by chance. Not tuned."""
BENT_FURTHER = "bent further"
"""`ScoredProposal.made_by` of a map that only goes on where another one that was taken had been held."""
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
    device: str = "cpu",
) -> Alignment | None:
    """The alignment of `moving` on `fixed` that the judge finds best among all guesses; None when there are none.

    Args:
        given: a pose that stands for election too, (3, 3) moving view px -> fixed view px: what georeferencing says.
        device: where poses are measured and tie points looked for.
    """
    poses = _poses(matches, seed)
    if not poses and not matches.maps:
        return None
    if given is not None:
        poses.insert(0, Proposal(given, 0.0))
    judge = ProposalJudge(fixed, moving, matches.descriptor, device=device)
    find = TiePointFinder(fixed, moving, threads=threads, device=device)
    matrices = [similar(pose.matrix, moving) for pose in poses[:JUDGED]]
    judged = [
        ScoredProposal(matrix, measures, judge.log_odds(measures), "match")
        for matrix, measures in zip(matrices, judge.each(matrices, threads), strict=True)
    ]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        mapped = list(pool.map(lambda one: _refined(judge, one.to_fixed, "match"), matches.maps))
    judged.sort(key=lambda candidate: -candidate.log_odds)
    close = [candidate for candidate in judged[:SHARPENED] if candidate.log_odds > judged[0].log_odds - CLOSE]
    finals = [_sharpened(find, judge, start, seed) for start in close]
    best = max((c for group in finals for c in group), key=lambda candidate: candidate.log_odds, default=None)
    if mapped and (best is None or _is_clearly_best(mapped, best)):
        finals.append(_sharpened_map(find, judge, max(mapped, key=lambda one: one.log_odds)))
        best = finals[-1][-1]
    assert best is not None, "there is a pose or a map"
    group = next(group for group in finals if any(c is best for c in group))
    judged_all = sorted([*judged, *mapped], key=lambda candidate: -candidate.log_odds)
    # What tie points moved by less than they can tell, they need not be looked for again.
    moved_px = corner_distance(group[0].matrix, best.matrix, moving)
    seen = group[0] if best.refined is not None and moved_px < STILL_PX else best
    around = seen.refined or seen.matrix
    ties, there_and_back = find(around)
    regions, regions_there_and_back = find(around, regional(fixed))
    return Alignment(
        best=best,
        rivals=_elsewhere(best, judged_all, moving),
        ties=ties,
        forward_backward_px=there_and_back,
        regions=regions,
        regions_forward_backward_px=regions_there_and_back,
        agreement={c.made_by: corner_distance(best.matrix, c.matrix, moving) for c in group if c is not best},
    )


def starts_of(alignment: Alignment) -> list[Floats]:
    """(3, 3) moving view px -> fixed view px: the poses that a map is refined from, the best one first."""
    return [one.matrix for one in (alignment.best, *alignment.rivals[: STARTS - 1])]


def refined_alignments(
    fixed: View,
    moving: View,
    matches: Matches,
    alignment: Alignment,
    refiner: MapRefiner,
    starts: Sequence[Floats],
    *,
    threads: int,
    affine_only: bool = False,
) -> Iterator[Alignment]:
    """Alignments by an affine map or a homography from each start, where the judge clearly prefers it to the best one
    so far, which mostly has less freedom to fit by chance.

    Args:
        starts: (3, 3) each, moving view px -> fixed view px.
    """
    judge, find = ProposalJudge(fixed, moving, matches.descriptor), TiePointFinder(fixed, moving, threads=threads)
    for start in starts:
        refined = _refined(judge, refiner(start, affine_only=affine_only))
        if refined.log_odds > alignment.best.log_odds + CLEARLY:
            # What it came from does not speak against it, however far it went.
            others = [other for other in (alignment.best, *alignment.rivals) if other.matrix is not start]
            yield replace(_around(find, alignment, refined), rivals=_elsewhere(refined, others, moving))


def bent_alignments(
    fixed: View, moving: View, matches: Matches, alignment: Alignment, *, threads: int, least_px: float
) -> Iterator[Alignment]:
    """Alignments by a map that bends about the best one, by one that goes on where the first one was held, and by one
    that bends about that more finely; as far as there is something to follow. Whoever asks for the next one has taken
    the one before, so that what does not bend costs one look.

    Args:
        least_px: as `BendRefiner` has it.
    """
    judge, refiner = ProposalJudge(fixed, moving, matches.descriptor), BendRefiner(fixed, moving, threads=threads)
    find = TiePointFinder(fixed, moving, threads=threads)
    bent = refiner(alignment.best.to_fixed, least_px=least_px)
    if bent is None:
        return
    yield _around(find, alignment, _refined(judge, bent))
    further = refiner(alignment.best.to_fixed, AGAIN)
    if further is not None:
        yield _around(find, alignment, _refined(judge, further, BENT_FURTHER))
    finer = refiner.finely(further or bent)
    if finer is not None:
        yield _around(find, alignment, _refined(judge, finer))


def _elsewhere(best: ScoredProposal, others: Sequence[ScoredProposal], moving: View) -> tuple[ScoredProposal, ...]:
    """Those that do not lie where the best one does, in their order."""
    outline = Proposal(best.matrix, 0.0)
    return tuple(
        other
        for other in others
        if len(distinct([outline, Proposal(other.matrix, 0.0)], moving, limit=2, apart=ELSEWHERE)) == 2
    )


def _is_clearly_best(mapped: Sequence[ScoredProposal], pose: ScoredProposal) -> bool:
    return max(one.log_odds for one in mapped) > pose.log_odds + CLEARLY


def _refined(judge: ProposalJudge, to_fixed: Transform, made_by: str = "refined") -> ScoredProposal:
    places = nodes_over(judge.moving.width, judge.moving.height, 5)
    measures = judge(to_fixed)
    nearest = nearest_affine(places, to_fixed(places))
    return ScoredProposal(nearest, measures, judge.log_odds(measures), made_by, to_fixed)


def _around(find: TiePointFinder, alignment: Alignment, refined: ScoredProposal) -> Alignment:
    """The alignment with a refined map as its best, and what lies around that."""
    ties, there_and_back = find(refined.to_fixed)
    regions, regions_there_and_back = find(refined.to_fixed, regional(find.fixed))
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


def _poses(matches: Matches, seed: int) -> list[Proposal]:
    """Whole poses: the matcher's own or, where it leaves that to others, the one that its correspondences agree on."""
    poses = list(matches.proposals)
    if not poses and not matches.maps and len(matches.correspondences) >= 3:
        fitted = estimate(matches.correspondences, "similarity", seed=seed, tolerance_px=3.0)
        if fitted.matrix is not None:
            poses.insert(0, Proposal(fitted.matrix, float(fitted.inliers.sum())))
    return poses


def _judged(judge: ProposalJudge, matrix: Floats, made_by: str) -> ScoredProposal:
    matrix = similar(matrix, judge.moving)
    measures = judge(matrix)
    return ScoredProposal(matrix, measures, judge.log_odds(measures), made_by)


def _sharpened(find: TiePointFinder, judge: ProposalJudge, start: ScoredProposal, seed: int) -> list[ScoredProposal]:
    """The candidate, and what tie points make of it."""
    candidates = [start]
    for windows, trusted_share, made_by in TRUSTED:
        tied, share = refit(find, start.matrix, seed, windows)
        if tied is None:
            continue
        candidate = _judged(judge, tied, made_by)
        if share >= trusted_share:
            return [start, replace(candidate, log_odds=max(candidate.log_odds, start.log_odds + 1e-6))]
        candidates.append(candidate)
    return candidates


def _sharpened_map(find: TiePointFinder, judge: ProposalJudge, start: ScoredProposal) -> list[ScoredProposal]:
    """The candidate map and, where enough tie points around it agree on one of its kind, that one."""
    ties, there_and_back = find(start.to_fixed)
    points = WeightedPoints.of(ties[there_and_back < FORWARD_BACKWARD_PX])
    model = ESTIMATORS[start.to_fixed.kind]
    mask = points.residual_px(start.to_fixed) < MAP_TIE_TOLERANCE_PX
    if mask.sum() < max(model.wanted, TRUSTED[0][1] * len(ties)):
        return [start]
    tied = refine(model, points, mask, TIE_TOLERANCE_PX)
    if tied is None or not is_plausible(tied, corners(find.moving.width, find.moving.height)):
        return [start]
    return [start, _refined(judge, tied, TRUSTED[0][2])]


def refit(find: TiePointFinder, matrix: Floats, seed: int, windows: Windows = NARROW) -> tuple[Floats | None, float]:
    """The similarity that tie points around a pose agree on, None when too few agree; and the share that agrees."""
    ties, there_and_back = find(matrix, windows)
    steady = ties[there_and_back < FORWARD_BACKWARD_PX]
    if len(steady) < MIN_TIES:
        return None, 0.0
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    fitted = estimate(steady, "similarity", seed=seed, tolerance_px=TIE_TOLERANCE_PX, allow_mirror=mirrored)
    if fitted.matrix is None or fitted.inliers.sum() < MIN_TIES:
        return None, 0.0
    return fitted.matrix, float(fitted.inliers.sum() / len(ties))
