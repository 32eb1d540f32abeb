"""How many held-out pairs register so well that the verdict accepts them: evidence that the matcher did not make."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xmatch.adaptation.pairs import Pair
from xmatch.alignment import align
from xmatch.errors import XmatchError
from xmatch.framing import frame_pair
from xmatch.io import open_source
from xmatch.matchers import Matcher
from xmatch.registration import RegisterOptions
from xmatch.verdict import gather, judge


def accepted(
    matcher: Matcher,
    pairs: Sequence[Pair],
    *,
    seed: int,
    threads: int,
    progress: Callable[[float], object] = lambda share: None,
) -> int:
    """How many of `pairs` a registration with this matcher is trusted for, at the views' resolution."""
    options = RegisterOptions(seed=seed, threads=threads)
    count = 0
    for number, pair in enumerate(pairs):
        count += _is_accepted(matcher, pair, options)
        progress((number + 1) / len(pairs))
    return count


def _is_accepted(matcher: Matcher, pair: Pair, options: RegisterOptions) -> bool:
    try:
        with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
            frame = frame_pair(fixed, moving, options)
    except XmatchError:
        return False
    matches = matcher(frame.fixed, frame.moving, frame.within, seed=options.seed, threads=options.threads)
    alignment = align(
        frame.fixed, frame.moving, matches, polish=options.polish, seed=options.seed, threads=options.threads
    )
    if alignment is None:
        return False
    evidence = gather(alignment, frame.fixed, frame.moving, options.seed)
    return judge(evidence, px_per_view_px=1.0, ground_per_px=None, unit=None).accepted
