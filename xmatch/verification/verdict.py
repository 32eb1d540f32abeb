"""Is the alignment right? Evidence in, one calibrated probability out; how exact it is says `error_map`.

A logistic regression on measures that fail in different ways, fitted by benchmarks/fit_verdict.py on real pairs of
known alignment and on pairs of unrelated images; its coefficients lie in `xmatch.verification.calibration`.
A weighted sum lets one strong measure drown the others, so an alignment must also be the only one of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xmatch.geometry.linear import LINEAR_KINDS
from xmatch.result import Verdict
from xmatch.verification.calibration import Calibration, calibration_for
from xmatch.verification.evidence import Following
from xmatch.verification.measures import MEASURES


def verdict_on(
    evidence: dict[str, float],
    followed: Following,
    *,
    matcher: str,
    kind: str = "similarity",
) -> Verdict:
    """The verdict on a map.

    Args:
        evidence: how likely the map is right.
        matcher: name of the one that found it, which chooses the calibration. Where it has none of its own the guards
            and the fit of `FALLBACK` decide, and the verdict says so.
        followed: by tie points of the finest resolution reached: whether its kind can be right.
        kind: of the map.
    """
    model = calibration_for(matcher)
    probability = float(1 / (1 + np.exp(-score(evidence, model))))
    # An alignment that another one equals is not accepted however well it fits: of both, one at most is right.
    unique = evidence["lead"] >= model.min_lead and evidence["repetition"] <= model.max_repetition
    # Shares of three tie points say nothing, however high they are.
    enough = evidence["inliers"] >= model.min_inliers
    # A map that hardly any part of the image lies on is right for that part at best.
    followed_widely = evidence["regions_share"] >= model.min_regions_share
    sound = unique and enough and followed_widely and not followed.is_bent
    probability = probability if sound else min(probability, 0.5)
    accepted = sound and probability >= model.threshold
    if not unique:
        reason = AMBIGUOUS
    elif not enough:
        reason = FEW
    elif followed.is_bent:
        said = BENT if followed.tie_points_bend else APART
        reason = said.format(followed=followed, kind=kind) + (BEND if kind in LINEAR_KINDS else "")
    elif not followed_widely:
        reason = HARDLY_ANYWHERE.format(share=evidence["regions_share"], kind=kind)
    else:
        reason = _reason(accepted, evidence, model)
    if accepted and followed.apart:
        reason += NOT_FOLLOWED.format(share=followed.apart)
    if accepted and followed.silent:
        reason += IN_PART.format(share=followed.silent)
    if model.name != matcher:
        reason += NOT_CALIBRATED.format(matcher=matcher, calibration=model.name)
    return Verdict(
        accepted=accepted,
        probability=probability,
        reason=reason,
        evidence=evidence,
        matcher=matcher,
        calibration=model.name,
    )


def score(evidence: Mapping[str, float], model: Calibration) -> float:
    """Log-odds that the alignment is right."""
    return float(model.intercept + sum(_parts(evidence, model).values()))


def _parts(evidence: Mapping[str, float], model: Calibration) -> dict[str, float]:
    """What each measure adds to the log-odds. Beyond the range that the fit has seen a measure says no more."""
    return {
        name: weight * (np.clip(evidence[name], *model.range[name]) - model.mean[name]) / model.spread[name]
        for name, weight in model.weights.items()
    }


def _reason(accepted: bool, evidence: Mapping[str, float], model: Calibration) -> str:
    """The measures that speak loudest, in words."""
    parts = _parts(evidence, model)
    loudest = sorted(parts, key=lambda name: parts[name], reverse=accepted)[:2]
    words = " and ".join(MEASURES[name].accepted if accepted else MEASURES[name].refused for name in loudest)
    return f"{words[0].upper()}{words[1:]}."


BENT = (
    "The images bend against each other: {followed.coherent} of {followed.count} tie points agree with their "
    "neighbours, but only {followed.agreeing} with one {kind}."
)
APART = "The images bend against each other: neighbouring parts agree on another place than one {kind} gives them."
BEND = " --transform grid follows them."
NOT_FOLLOWED = (
    " But in a part of the image ({share:.0%} of the tie points) neighbours agree on another place than this map gives "
    "them: what stands up there, or bends, is not followed."
)
IN_PART = (
    " But in a part of the image ({share:.0%} of the tie points) nothing agrees with it: one of the two shows "
    "something else there, or nothing that both see."
)
HARDLY_ANYWHERE = (
    "Only {share:.0%} of the regions lie where one {kind} puts them: it explains a small part of the image at best."
)
FEW = "Too few tie points agree to tell: the images show little in common, or overlap by a small part only."
AMBIGUOUS = "The images fit nearly as well in another way: the pattern repeats, or it looks alike when turned."
NOT_CALIBRATED = " The probability is not calibrated for {matcher}: it is fitted to {calibration}."
