"""Is an image of a group where the group has it? What its pairs and the loops around them say, in one verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from xmatch.estimate.graph import Network, best_ways
from xmatch.result import PairInGroup, Verdict
from xmatch.verification.calibration import calibrated_matchers, calibration_for

LOOP_ODDS = 20.0
"""How much likelier a pair is right whose loop closes. Not fitted: of wrong pairs, one in twenty is taken to agree with
the others by what misleads them alike, such as a pattern that repeats; by chance alone none would."""
SURE = 1 - 1e-6
"""No pair is surer than this."""


def verdict_on_image(
    number: int, names: Sequence[str], network: Network, pairs: Sequence[PairInGroup], reference: int
) -> Verdict:
    """The verdict on one image.

    Its probability is that every pair along the likeliest way to the reference is right, each made likelier by a loop
    that closes around it. It must be what is asked of single pairs.

    Args:
        number: of the image.
        names: of all images.
    """
    if number == reference:
        return Verdict(True, 1.0, "It is the reference: the others are laid onto it.", 0.0)
    own = [pair for pair in pairs if number in (pair.fixed, pair.moving)]
    if network.maps[number] is None:
        return Verdict(False, 0.0, _why_not(number, names, own))
    used = [pair for pair in pairs if pair.state == "used"]
    costs = [(pair.fixed, pair.moving, -math.log(_probability(pair))) for pair in used]
    cost, way = best_ways(len(names), reference, costs)[number]
    probability, ce90_px = math.exp(-cost), float(network.ce90_px[number])
    asked = min(calibration_for(matcher).threshold for matcher in calibrated_matchers())
    unchecked = [used[k] for k in way if not used[k].in_loop]
    if probability < asked:
        said = f"It hangs on {len(way)} pairs in a row, of which {len(unchecked)} are checked by no loop"
        return Verdict(False, probability, f"{said}: too many for all of them to be right.", ce90_px)
    if unchecked:
        said = _listed([f"{_name(names, pair.moving)} on {_name(names, pair.fixed)}" for pair in unchecked])
        return Verdict(True, probability, f"Trusted pairs lead to the reference. No loop checks {said}.", ce90_px)
    ties = [pair for pair in own if pair.state == "used"]
    off_px = max(pair.off_px or 0.0 for pair in ties)
    said = f"{len(ties)} trusted pairs tie it to the others, and loops confirm its way to the reference"
    return Verdict(True, probability, f"{said}: its pairs are within {off_px:.2f} px of each other.", ce90_px)


def _probability(pair: PairInGroup) -> float:
    """That a used pair is right, its loop taken into account."""
    assert pair.verdict is not None
    given = pair.verdict.probability
    given = min(given, SURE) if math.isfinite(given) else 0.5
    return given / (given + (1 - given) / LOOP_ODDS) if pair.in_loop else given


def _why_not(number: int, names: Sequence[str], own: Sequence[PairInGroup]) -> str:
    """Why an image has no place."""
    disputed = [pair for pair in own if pair.state == "disputed"]
    apart = [pair for pair in own if pair.state in ("apart", "disagrees")]
    if disputed:
        said = _listed([f"{_name(names, pair.moving)} on {_name(names, pair.fixed)}" for pair in disputed])
        return f"Loops do not close over {said}, and no further loop says which pair is wrong."
    if apart:
        others = _listed([_name(names, pair.fixed + pair.moving - number) for pair in apart])
        return f"Its trusted pairs lead to {others}, but no undisputed one leads from there to the reference."
    failed = sum(pair.state == "failed" for pair in own)
    said = f"None of its {len(own)} pairs is trusted" + (f" ({failed} cannot be registered at all)" if failed else "")
    reasons = [pair.reason for pair in own if pair.state == "refused"] or [pair.reason for pair in own]
    return f"{said}. {reasons[0]}" if reasons else f"{said}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def _name(names: Sequence[str], number: int) -> str:
    return os.path.basename(names[number])
