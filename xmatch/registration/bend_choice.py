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
HOLDS_MOST, LEAVES_LITTLE = 0.7, 2 / 3
"""So large a share of the tie points must agree with a map that bends, or it must leave no more of the stiff one's
error at them, ..."""
HOLDS_HALF, MANY_MORE_AGREE = 0.5, 3.0
"""... or so large a share agrees, so many times as many as with the stiff one. Of 146 unbent training pairs seven have
fields for which another rule spoke, up to 2.3 times as many and 0.70 to 0.92 of the error: a similarity lays four of
them to within 2.5 px, the fields 8 to 19 px off. None of them is taken; of 19 fields that brought bent pairs nearer
three are lost, of four that did not all (lab log)."""
BENT_SHARE, DOUBTFUL_SHARE = 0.75, 0.85
"""Error at tie points that a map which holds most may leave of a stiff one's which is accepted, or is not. Of the same
pairs unbent, none would be bent at the first and two at the second (lab log)."""
MORE_AGREE = 2.0
"""Or so many times as many tie points agree with it as with the stiff one."""
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
    share = BENT_SHARE if verdict.accepted else DOUBTFUL_SHARE
    if agree < HARDLY_MORE_AGREE * agreed:
        share = MUCH_NEARER_SHARE
    elif not _holds_most(agree, agreed, len(steady)):
        share = LEAVES_LITTLE
    elif agree >= MORE_AGREE * agreed:
        return True
    return explains_better(bent, so_far, steady, TOLERANCE_VIEW_PX, share)


def _holds_most(agree: int, agreed: int, count: int) -> bool:
    """Whether so many of `count` tie points agree with a map that bends, and so many with the stiff one, that it holds
    most of the image."""
    return agree >= HOLDS_MOST * count or agree >= max(HOLDS_HALF * count, MANY_MORE_AGREE * agreed)
