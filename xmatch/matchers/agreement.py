"""Whole maps that correspondences agree on."""

from __future__ import annotations

import numpy as np

from xmatch.coords import Floats, Mask, corners
from xmatch.correspondences import Correspondences
from xmatch.estimate import ESTIMATORS
from xmatch.estimate.consensus import affine_consensus, homography_consensus, similarity_consensus
from xmatch.estimate.fit import fit_similarity
from xmatch.estimate.model import WeightedPoints, is_plausible, refine
from xmatch.geometry import Linear
from xmatch.matchers.base import Matches, Proposal, ProposedMap, SearchRange
from xmatch.raster import View

MAPS, MIN_INLIERS = 3, 5
"""Maps looked for one after the other, and how many pairs make a similarity: noise rarely agrees on more than four."""
MIN_FREER_INLIERS = 12
"""Pairs that make an affine map or a homography: as `Model.wanted` of the homography."""
STIFFER, LEAST_LOSS_PX = 1.25, 0.1
"""The stiffest kind is taken whose mean squared residual is at most so many times that of any kind, which freedom alone
makes of a dozen pairs, and so much more as keypoints are exact to. Not tuned."""
SAMPLES = 5_000
"""Of a consensus at most: a tenth of right pairs makes a homography of four in half of that many. Not tuned."""


def agreeing(matches: Matches) -> float:
    """Pairs that agree on the best map."""
    scores = [pose.score for pose in matches.proposals] + [one.score for one in matches.maps]
    return max(scores, default=0.0)


def maps_agreed_on(
    pairs: Correspondences,
    fixed: View,
    moving: View,
    within: SearchRange,
    tolerance_px: float,
    seed: int,
    mirrored: bool = False,
) -> Matches:
    """The pairs, and the maps within range that they agree on: the one most of them do, then the one that most of the
    rest do... Similarities as proposals, where no freer kind explains clearly more.

    Args:
        pairs: view px.
        tolerance_px: view px.
        mirrored: moving is seen from the other side.
    """
    rest = pairs
    # Seen from the other side, moving's x axis points the other way.
    turn_over = np.diag([-1.0, 1.0, 1.0]) if mirrored else np.eye(3)
    outline = corners(moving.width, moving.height) * np.diag(turn_over)[:2]
    proposals: list[Proposal] = []
    maps: list[ProposedMap] = []
    for _ in range(MAPS):
        points = WeightedPoints.of(rest)
        agreed = _agreed(points.mirrored() if mirrored else points, outline, tolerance_px, seed)
        if agreed is None:
            break
        matrix, inliers, pose = agreed
        if within.allows(pose.matrix @ turn_over, fixed, moving):
            score = float(inliers.sum())
            if matrix.kind == "similarity":
                proposals.append(Proposal(matrix.matrix @ turn_over, score))
            else:
                maps.append(ProposedMap(Linear(matrix.matrix @ turn_over, matrix.kind), score))
        rest = rest[~inliers]
    proposals.sort(key=lambda one: -one.score)
    maps.sort(key=lambda one: -one.score)
    return Matches(tuple(proposals), pairs, tuple(maps))


def _agreed(
    points: WeightedPoints, outline: Floats, tolerance_px: float, seed: int
) -> tuple[Linear, Mask, Linear] | None:
    """The map that most points agree on, of the stiffest kind that explains them about as well as any; (N,) bool, which
    do; and the similarity nearest to it.

    Args:
        outline: (4, 2) corners of moving, all of which lie before the horizon.
    """
    if len(points) < MIN_INLIERS:
        return None
    masks = {
        "similarity": (similarity_consensus(points, tolerance_px, seed), MIN_INLIERS),
        "affine": (affine_consensus(points, tolerance_px, seed, SAMPLES), MIN_FREER_INLIERS),
        "homography": (homography_consensus(points, tolerance_px, seed, SAMPLES), MIN_FREER_INLIERS),
    }
    found = {}
    for kind, (mask, fewest) in masks.items():
        if mask is None or mask.sum() < fewest:
            continue
        fitted = refine(ESTIMATORS[kind], points, mask, tolerance_px, rounds=2)
        if isinstance(fitted, Linear) and is_plausible(fitted, outline):
            residual = points.residual_px(fitted)
            if (residual <= tolerance_px).sum() >= fewest:
                found[kind] = fitted, residual
    if not found:
        return None
    pool = max((residual <= tolerance_px for _, residual in found.values()), key=np.count_nonzero)
    loss = {kind: (np.minimum(residual, tolerance_px)[pool] ** 2).mean() for kind, (_, residual) in found.items()}
    kind = next(kind for kind in found if loss[kind] <= STIFFER * min(loss.values()) + LEAST_LOSS_PX**2)
    fitted, residual = found[kind]
    inliers = residual <= tolerance_px
    try:
        return fitted, inliers, fit_similarity(points[inliers])
    except ValueError:  # all in one place
        return None
