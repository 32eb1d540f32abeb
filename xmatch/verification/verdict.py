"""Is the alignment right? Evidence in, one calibrated probability and an expected error out.

A logistic regression on measures that fail in different ways, fitted by benchmarks/fit_verdict.py on real pairs of
known alignment and on pairs of unrelated images; its coefficients lie beside this file with their certificate.
A weighted sum lets one strong measure drown the others, so an alignment must also be the only one of its kind.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from xmatch.geometry.linear import LINEAR_KINDS
from xmatch.result import Verdict
from xmatch.verification.evidence import Following
from xmatch.verification.measures import DRAWN

LEAST_BEND_PX = 0.25
"""Added to what tie points show: they are no more exact than this themselves."""


def judge(
    evidence: dict[str, float],
    followed: Following,
    *,
    px_per_matched_px: float,
    ground_per_px: float | None,
    unit: str | None,
    kind: str = "similarity",
) -> Verdict:
    """The verdict on a map.

    Args:
        evidence: how likely the map is right.
        followed: by tie points of the finest resolution reached: how exact it is, and whether its kind can be right.
        px_per_matched_px: size of a px at that resolution in px of the fixed file; the expected error scales with it.
        ground_per_px: size of a fixed px in `unit`, or None.
        kind: of the map.
    """
    model = coefficients(drawn=DRAWN[0] in evidence)
    probability = float(1 / (1 + np.exp(-score(evidence, model))))
    # An alignment that another one equals is not accepted however well it fits: of both, one at most is right.
    unique = evidence["lead"] >= model["min_lead"] and evidence["repetition"] <= model["max_repetition"]
    # Shares of three tie points say nothing, however high they are.
    enough = evidence["inliers"] >= model["min_inliers"]
    sound = unique and enough and not followed.is_bent
    probability = probability if sound else min(probability, 0.5)
    accepted = sound and probability >= model["threshold"]
    if not unique:
        reason = AMBIGUOUS
    elif not enough:
        reason = FEW
    elif followed.is_bent:
        said = BENT if followed.tie_points_bend else APART
        reason = said.format(followed=followed, kind=kind) + (BEND if kind in LINEAR_KINDS else "")
    else:
        reason = _reason(accepted, evidence, model)
    ce90 = expected_error(followed, model) * px_per_matched_px if accepted else None
    return Verdict(
        accepted=accepted,
        probability=probability,
        reason=reason,
        ce90_px=ce90,
        ce90_ground=None if ce90 is None or ground_per_px is None else ce90 * ground_per_px,
        ground_unit=unit if ground_per_px is not None else None,
        evidence=evidence,
    )


def score(evidence: dict[str, float], model: dict[str, Any]) -> float:
    """Log-odds that the alignment is right."""
    return float(model["intercept"] + sum(_parts(evidence, model).values()))


def _parts(evidence: dict[str, float], model: dict[str, Any]) -> dict[str, float]:
    """What each measure adds to the log-odds. Beyond the range that the fit has seen a measure says no more."""
    return {
        name: weight * (np.clip(evidence[name], *model["range"][name]) - model["mean"][name]) / model["spread"][name]
        for name, weight in model["weights"].items()
    }


def expected_error(followed: Following, model: dict[str, Any]) -> float:
    """90th percentile of the position error of a map, matched px: log-linear in how tie points follow it
    (benchmarks/fit_verdict.py)."""
    weights = model["ce90"]
    return float(np.exp(weights["intercept"] + sum(weights[k] * v for k, v in error_measures(followed).items())))


def error_measures(followed: Following) -> dict[str, float]:
    """What the expected error is reckoned from."""
    return {"inlier_share": followed.share, "log_bend_px": float(np.log(LEAST_BEND_PX + followed.bend_px))}


@cache
def coefficients(*, drawn: bool) -> dict[str, Any]:
    """Fitted on what the structural matcher finds, or on what `xmatch-fields` does with drawn fields as evidence."""
    return json.loads(
        files("xmatch.verification").joinpath("verdict-fields.json" if drawn else "verdict.json").read_text()
    )


def _reason(accepted: bool, evidence: dict[str, float], model: dict[str, Any]) -> str:
    """The measures that speak loudest, in words."""
    parts = _parts(evidence, model)
    loudest = sorted(parts, key=lambda name: parts[name], reverse=accepted)[:2]
    words = " and ".join(SPOKEN[name][0 if accepted else 1] for name in loudest)
    return f"{words[0].upper()}{words[1:]}."


BENT = (
    "The images bend against each other: {followed.coherent} of {followed.count} tie points agree with their "
    "neighbours, but only {followed.agreeing} with one {kind}."
)
APART = "The images bend against each other: neighbouring parts agree on another place than one {kind} gives them."
BEND = " --transform grid follows them."
FEW = "Too few tie points agree to tell: the images show little in common, or overlap by a small part only."
AMBIGUOUS = "The images fit nearly as well in another way: the pattern repeats, or it looks alike when turned."

SPOKEN: dict[str, tuple[str, str]] = {
    "structure": ("edges of both images run alike", "edges of the two images do not run alike"),
    "structure_fine": ("fine edges run alike", "fine edges do not run alike"),
    "structure_z": ("the edges agree far better than chance would", "the edges agree hardly better than chance would"),
    "drawn": ("what the network draws runs alike", "what the network draws does not run alike"),
    "drawn_z": ("what it draws agrees far better than chance would", "what it draws agrees hardly better than chance"),
    "drawn_gain": (
        "what it draws falls apart when the image is shifted",
        "shifted, what it draws fits as well",
    ),
    "structure_gain": ("the fit falls off when the image is shifted", "shifted copies fit about as well"),
    "information": ("one image predicts the other's brightness", "neither image predicts the other's brightness"),
    "information_gain": (
        "the images share information only here",
        "the images share no more information here than elsewhere",
    ),
    "information_z": ("shared information peaks here", "shared information does not peak here"),
    "overlap": ("the images overlap well", "the images hardly overlap"),
    "lead": ("no other alignment comes near", "another alignment fits nearly as well"),
    "inlier_share": ("most tie points agree", "few tie points agree"),
    "coverage": ("tie points agree all over the overlap", "tie points agree in a small part only"),
    "forward_backward_px": (
        "matching there and back returns to the start",
        "matching there and back does not return to the start",
    ),
    "chance_log10": ("chance would not explain the tie points", "chance would explain the tie points"),
    "halves_px": ("two halves of the tie points agree", "two halves of the tie points disagree"),
    "regions_share": ("large parts of the images agree", "large parts of the images do not agree"),
    "regions_px": ("no large part of the images lies off", "large parts of the images lie off"),
    "sharpening_px": ("different refinements agree", "different refinements disagree"),
    "scale_change": ("the scale is near the expected one", "the scale is far from the expected one"),
}
