"""Registrations of pairs without labels, and whether the verdict accepts them: evidence the network did not make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xmatch.adaptation.pairs import Pair
from xmatch.errors import XmatchError
from xmatch.io import open_source
from xmatch.matchers.base import Matcher
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pose_selection import align
from xmatch.registration.view_planning import frame_pair
from xmatch.verification.evidence import followed_by, gather
from xmatch.verification.verdict import judge


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
    matches = matcher(frame.fixed, frame.moving, frame.within, seed=seed, threads=threads)
    alignment = align(frame.fixed, frame.moving, matches, seed=seed, threads=threads)
    if alignment is None:
        return None
    evidence = gather(alignment, frame.fixed, frame.moving, seed)
    verdict = judge(evidence, followed_by(alignment), px_per_matched_px=1.0, ground_per_px=None, unit=None)
    matrix = frame.matrix_between_files(alignment.best.matrix)
    return RegisteredPose(matrix, verdict.accepted)


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
