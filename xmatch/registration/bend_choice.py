"""Whether a map that bends is looked for, and whether it stands: as tie points have it."""

from __future__ import annotations

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.estimate import error_px, explains_better
from xmatch.estimate.model import PointMap
from xmatch.registration.options import BENT_KINDS, RegisterOptions
from xmatch.registration.transform_choice import TOLERANCE_VIEW_PX
from xmatch.result import Verdict

MAY_BEND_PX, CLEARLY_BEND_PX, CLEAR_SHARE = 1.2, 0.5, 0.7
"""A map that bends is looked for where regions lie so far off the one found (view px, three in four), or half as far
where that share of the tie points agrees, so that little is noise: nearly all training pairs that were bent by 6 px,
and a third of those that were not (lab log)."""
LEAST_LIKELY = 0.1
"""Probability of a map from which on one that bends is looked for. Those that one was then taken for had 0.5 and more,
unrelated pairs and lost searches 0.07 at most (lab log)."""
BENT_SHARE, DOUBTFUL_SHARE = 0.75, 0.85
"""Error at tie points that a map that bends may leave of a stiff one's which is accepted, or is not. Of the same pairs
unbent, none would be bent at the first and two at the second (lab log)."""
MORE_AGREE, MIN_AGREEING = 2.0, 12
"""Or so many times as many tie points agree with it as with the stiff one, and so many at least, ..."""
MOST_AGREE, MANY_MORE_AGREE = 0.4, 4.0
"""... if that is so large a share of all, or so many times as many: twice of a few is chance. Of training pairs bent by
12 px the fields that took a third of the error away have one or the other (62 % or more, or 4.3 times as many); of 12
unbent ones two had twice as many, 22 and 30 % of all, with fields that took them from 2 to 7 and 6 to 11 px."""
HARDLY_MORE_AGREE, MUCH_NEARER_SHARE = 1.25, 0.5
"""Where hardly more tie points agree, they must lie so much nearer: speckle bends made scenes of two sensors a little
(three quarters of the error), images of one sensor bent by 3 px leave a tenth of it."""
FEWEST_FOR_A_BEND = 24
"""Tie points that must be steady around a map that bends: fewer follow their own noise. Not tuned."""


def may_bend(verdict: Verdict, ties: int) -> bool:
    """Whether the images may bend against each other where the map that the verdict is on does not.

    Args:
        ties: how many tie points there are, steady ones or not; around a map that bends there are hardly more.
    """
    if verdict.probability < LEAST_LIKELY or ties < FEWEST_FOR_A_BEND:
        return False
    off_px, share = (verdict.evidence[name] for name in ("regions_px", "inlier_share"))
    return off_px > (CLEARLY_BEND_PX if share > CLEAR_SHARE else MAY_BEND_PX)


def is_nearer(one: PointMap, other: PointMap, steady: Correspondences) -> bool:
    """Whether tie points lie nearer to one of two maps, moving view px -> fixed view px."""
    return error_px(one, steady, TOLERANCE_VIEW_PX) < error_px(other, steady, TOLERANCE_VIEW_PX)


def follows_better(
    bent: PointMap, so_far: PointMap, steady: Correspondences, verdict: Verdict, options: RegisterOptions
) -> bool:
    """Whether tie points prefer a map that bends: clearly, unless one was asked for."""
    if options.transform in BENT_KINDS:
        return is_nearer(bent, so_far, steady)
    if len(steady) < FEWEST_FOR_A_BEND:
        return False
    # Tie points that find nothing count alike for both, and between two sensors they may be most of them.
    agree, agreed = (
        int((np.linalg.norm(mapped(steady.moving_xy) - steady.fixed_xy, axis=1) < TOLERANCE_VIEW_PX).sum())
        for mapped in (bent, so_far)
    )
    are_many = agree >= min(MOST_AGREE * len(steady), MANY_MORE_AGREE * agreed)
    if are_many and agree >= max(MIN_AGREEING, MORE_AGREE * agreed):
        return True
    share = BENT_SHARE if verdict.accepted else DOUBTFUL_SHARE
    if agree < HARDLY_MORE_AGREE * agreed:
        share = MUCH_NEARER_SHARE
    return explains_better(bent, so_far, steady, TOLERANCE_VIEW_PX, share)
