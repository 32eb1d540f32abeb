"""Registrations of pairs without labels, and whether the verdict accepts them: evidence the network did not make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from xmatch.adaptation.pairs import Pair
from xmatch.errors import XmatchError
from xmatch.io import open_source
from xmatch.matchers.base import Matcher, PlanStage
from xmatch.registration.attempts import Attempt, attempt_plan
from xmatch.registration.options import RegisterOptions
from xmatch.registration.view_planning import FramedPair, frame_pair
from xmatch.verification.alignment import Alignment
from xmatch.verification.evidence import followed_by, gather
from xmatch.verification.verdict import verdict_on


@dataclass(frozen=True, eq=False)
class RegisteredPose:
    """Where a registration lays moving."""

    matrix: np.ndarray
    """(3, 3) moving px -> fixed px, a similarity."""
    accepted: bool
    """Whether it is to be trusted."""


def registered_pose(matcher: Matcher, pair: Pair, *, seed: int, threads: int) -> RegisteredPose | None:
    """The registration of a pair at its views' resolution; None where nothing can be matched.

    Raises:
        XmatchError: the files cannot be read or registered.
    """
    options = RegisterOptions(seed=seed, threads=threads)
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        frame = frame_pair(fixed, moving, options)
    attempt = attempt_plan((PlanStage.ready(matcher),), frame, options, partial(_weighed, seed=seed))
    if attempt.alignment is None:
        return None
    matrix = attempt.frame.matrix_between_files(attempt.alignment.best.matrix)
    return RegisteredPose(matrix, attempt.verdict.accepted)


def _weighed(matcher: str, frame: FramedPair, alignment: Alignment, *, seed: int) -> Attempt:
    """The verdict on the pose itself."""
    evidence = gather(alignment, frame.fixed, frame.moving, seed)
    return Attempt(matcher, frame, verdict_on(evidence, followed_by(alignment), matcher=matcher), alignment)


def accepted(
    matcher: Matcher,
    pairs: Sequence[Pair],
    *,
    seed: int,
    threads: int,
    progress: Callable[[float], object] = lambda share: None,
) -> int:
    """How many of `pairs` a registration with this matcher is trusted for."""
    count = 0
    for number, pair in enumerate(pairs):
        try:
            found = registered_pose(matcher, pair, seed=seed, threads=threads)
        except XmatchError:
            found = None
        count += found is not None and found.accepted
        progress((number + 1) / len(pairs))
    return count
