"""The matchers of a plan, one after the other, near what georeferencing says and everywhere, until one is trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from xmatch.coords import Floats
from xmatch.geometry.matrices import nearest_affine
from xmatch.geometry.outlines import nodes_over
from xmatch.matchers.base import Matcher, Matches, Plan, Proposal
from xmatch.matchers.search.fourier import distinct
from xmatch.matchers.search.settings import SAME_POSE
from xmatch.ops.devices import resolved_with_driver
from xmatch.raster import View
from xmatch.registration.bend_choice import follows_better, is_nearer, may_bend
from xmatch.registration.full_resolution import ConfirmedMap
from xmatch.registration.map_refinement import MapRefiner
from xmatch.registration.options import BENT_KINDS, RegisterOptions, is_freer
from xmatch.registration.pose_selection import BENT_FURTHER, align, bent_alignments, refined_alignments, starts_of
from xmatch.registration.view_planning import FramedPair, widened
from xmatch.result import Verdict
from xmatch.verification.alignment import FORWARD_BACKWARD_PX, Alignment

STIFF = ("translation", "similarity")
"""Kinds that a pose is: nothing is refined for them."""
HOLDS_SHARE = 0.3
"""Of the regions must lie where a refined map puts them to be accepted. Not tuned."""
SETTLED_SHARE = 0.5
"""Of the regions must lie where an accepted map puts them, or perspective is looked for. Not tuned."""
LEAST_BEND_PX = 0.8
"""What large windows must bend by, fixed view px, for finer ones to be looked at: of training pairs that a field was
taken for the least is 0.96, of unbent ones that were asked four in ten have less (lab log)."""
BENT_HOLDS_SHARE = 0.5
"""Of the regions must lie where a map that bends puts them: training pairs accepted with fewer were off by 11 to 21 px
(lab log)."""
PLACES = 5
"""Each way, by which an affine map is as near to another map as it can be."""
NOTHING_MATCHED = "Nothing in the images could be matched (no texture, or nothing in common)."


@dataclass(frozen=True, eq=False)
class Attempt:
    """What one matcher makes of two views in one range, and whether to trust it."""

    matcher: str
    frame: FramedPair
    verdict: Verdict
    alignment: Alignment | None = None
    """None where nothing could be matched."""
    confirmed: ConfirmedMap | None = None
    """None where no map of the kind asked for was found, or none was asked for."""
    notes: tuple[str, ...] = ()


Weigh: TypeAlias = Callable[[str, FramedPair, Alignment], Attempt]
"""(name of the matcher, views, alignment) -> what is made of it."""
Tell: TypeAlias = Callable[[str, float], None]
"""Called with the stage that is done and the share of the whole done so far."""


def attempt_plan(
    plan: Plan,
    frame: FramedPair,
    options: RegisterOptions,
    weigh: Weigh,
    done: Tell = lambda stage, share: None,
) -> Attempt:
    """The most probable attempt: of the first matcher and, where its result is not to be trusted, of the next ones.

    Each is asked near what georeferencing says, if there is any, and everywhere where nothing there is convincing; near
    what the user says, and nowhere else. What it finds is handed to the next one.
    """
    frames = [frame, widened(frame, options)] if frame.within.near and not frame.is_given else [frame]
    ranges = [_Range.of(each, options) for each in frames]
    best: Attempt | None = None
    for stage in plan:
        matcher = stage.build()
        if best is not None:
            done("read", 0.1)
        is_last = stage is plan[-1]
        found = _attempt_ranges(matcher, ranges, options, weigh, done, is_last=is_last)
        if found is None:
            continue
        if best is None:
            best = found
        elif found.verdict.probability > best.verdict.probability:
            said = f"{best.matcher} was not sure: this is what {matcher.name} found"
            best = replace(found, notes=(*found.notes, said))
        # Without evidence there was nothing to match, for anyone.
        if best.verdict.accepted or not best.verdict.evidence:
            break
    if best is None:
        raise ValueError("a plan without a matcher")
    return best


@dataclass
class _Range:
    """Where matchers are asked, and what is known of it already."""

    frame: FramedPair
    refiner: MapRefiner
    """The same for all, so that no pose is refined twice."""
    matched: Matches | None = None
    """By the last matcher; None before the first one."""

    @staticmethod
    def of(frame: FramedPair, options: RegisterOptions) -> _Range:
        return _Range(frame, MapRefiner(frame.fixed, frame.moving, threads=options.threads))


def _is_settled(attempt: Attempt) -> bool:
    """Whether the map is right, and all over."""
    return attempt.verdict.accepted and attempt.verdict.evidence["regions_share"] >= SETTLED_SHARE


def _may_bend(attempt: Attempt) -> bool:
    return attempt.alignment is not None and may_bend(attempt.verdict, len(attempt.alignment.ties))


def _refined(found: Attempt, matches: Matches, refiner: MapRefiner, options: RegisterOptions, weigh: Weigh) -> Attempt:
    """The attempt, or a more probable one by an affine map or a homography that holds all over."""
    assert found.alignment is not None, "there is one to refine"
    found = _followed(found, starts_of(found.alignment), matches, refiner, options, weigh)
    if _is_settled(found) or found.confirmed is None:
        return found
    # What tie points made of it may lie nearer to the truth than any pose does.
    places = nodes_over(found.frame.moving.width, found.frame.moving.height, PLACES)
    confirmed = nearest_affine(places, found.frame.between_views(found.confirmed.transform, places))
    return _followed(found, [confirmed], matches, refiner, options, weigh) if np.isfinite(confirmed).all() else found


def _followed(
    found: Attempt,
    starts: Sequence[Floats],
    matches: Matches,
    refiner: MapRefiner,
    options: RegisterOptions,
    weigh: Weigh,
) -> Attempt:
    """The attempt, or a more probable one by what is refined from a start, (3, 3) moving view px -> fixed view px."""
    frame, alignment = found.frame, found.alignment
    assert alignment is not None, "there is one to refine"
    affine_only = options.transform == "affine"
    for candidate in refined_alignments(
        frame.fixed, frame.moving, matches, alignment, refiner, starts, threads=options.threads, affine_only=affine_only
    ):
        other = weigh(found.matcher, frame, candidate)
        share = other.verdict.evidence["regions_share"]
        # With more freedom, what is not seen to hold all over may fit by chance, or in a part only: never accepted, nor
        # in place of what is. Where both are refused, the likelier one is the better start for what comes next.
        if found.verdict.accepted and not _is_settled(other) or other.verdict.accepted and share < HOLDS_SHARE:
            continue
        if other.verdict.accepted > found.verdict.accepted or other.verdict.probability > found.verdict.probability:
            found = other
        if _is_settled(found):
            break
    return found


def _bent(found: Attempt, matches: Matches, options: RegisterOptions, weigh: Weigh) -> Attempt:
    """The attempt, or one by a map that bends, where tie points say clearly that the images do."""
    frame, alignment = found.frame, found.alignment
    assert alignment is not None, "there is one to bend"
    least_px = LEAST_BEND_PX if options.transform == "auto" else 0.0
    for candidate in bent_alignments(
        frame.fixed, frame.moving, matches, alignment, threads=options.threads, least_px=least_px
    ):
        confirmed = found.confirmed
        so_far = alignment.best.to_fixed if confirmed is None else partial(frame.between_views, confirmed.transform)
        steady = candidate.ties[candidate.forward_backward_px < FORWARD_BACKWARD_PX]
        # Of images that are known to bend the better map of as smooth a kind counts; any other must be clearly better.
        if candidate.best.made_by == BENT_FURTHER:
            is_better = is_nearer(candidate.best.to_fixed, so_far, steady)
        else:
            is_better = follows_better(candidate.best.to_fixed, so_far, steady, found.verdict, options)
        if not is_better:
            break
        other = weigh(found.matcher, frame, candidate)
        if options.transform == "auto" and other.verdict.evidence["regions_share"] < BENT_HOLDS_SHARE:
            break
        likelier = not found.verdict.accepted and other.verdict.probability >= found.verdict.probability
        if not other.verdict.accepted and not likelier:
            break
        found = other
    return found


def _attempt_ranges(
    matcher: Matcher,
    ranges: Sequence[_Range],
    options: RegisterOptions,
    weigh: Weigh,
    done: Tell,
    *,
    is_last: bool,
) -> Attempt | None:
    """The most probable attempt of one matcher, None where all it found is faint and another one follows."""
    best: Attempt | None = None
    for each in ranges:
        frame, before = each.frame, each.matched
        matches = matcher(
            frame.fixed, frame.moving, frame.within, seed=options.seed, threads=options.threads, earlier=before
        )
        if before is not None:
            matches = _with_earlier(matches, before, frame)
        each.matched = matches
        # What is freer than asked is not offered: it would win, and speak for a map that is not written.
        allowed = tuple(one for one in matches.maps if not is_freer(one.to_fixed.kind, options.transform))
        matches = replace(matches, maps=allowed)
        if matches.is_faint and not is_last:
            continue
        done("match", 0.4)
        alignment = align(
            frame.fixed,
            frame.moving,
            matches,
            seed=options.seed,
            threads=options.threads,
            given=frame.within.centre if frame.within.near else None,
            device=resolved_with_driver(options.device),
        )
        done("sharpen", 0.6)
        if alignment is None:
            found = Attempt(matcher.name, frame, Verdict(False, 0.0, NOTHING_MATCHED, matcher=matcher.name))
        else:
            found = weigh(matcher.name, frame, alignment)
            asked = options.transform
            if asked not in STIFF and not _is_settled(found):
                found = _refined(found, matches, each.refiner, options, weigh)
            if asked in BENT_KINDS or (asked == "auto" and _may_bend(found)):
                found = _bent(found, matches, options, weigh)
        found = replace(found, notes=(*found.notes, *matches.notes))
        if best is None or found.verdict.probability > best.verdict.probability:
            best = found
        if found.verdict.accepted:
            break
    return best


def _with_earlier(matches: Matches, earlier: Matches, frame: FramedPair) -> Matches:
    """What a matcher found, and what those before it found elsewhere."""
    new = [pose for pose in earlier.proposals if _is_new(pose, matches.proposals, frame.moving)]
    return replace(matches, proposals=(*matches.proposals, *new), maps=(*matches.maps, *earlier.maps))


def _is_new(pose: Proposal, known: Sequence[Proposal], moving: View) -> bool:
    return all(len(distinct([other, pose], moving, limit=2, apart=SAME_POSE)) == 2 for other in known)
