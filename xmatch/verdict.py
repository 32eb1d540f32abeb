"""Is the alignment right? Evidence in, one calibrated probability and an expected error out.

A logistic regression on measures that fail in different ways, fitted by benchmarks/fit_verdict.py on real pairs of
known alignment and on pairs of unrelated images; its coefficients lie beside this file with their certificate.
A weighted sum lets one strong measure drown the others, so an alignment must also be the only one of its kind.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from scipy.special import bdtrc

from xmatch.alignment import FORWARD_BACKWARD_PX, Alignment
from xmatch.correspondences import Correspondences
from xmatch.estimate import estimate
from xmatch.matchers.measures import DRAWN
from xmatch.matchers.repetition import repetition
from xmatch.raster import View
from xmatch.result import Verdict
from xmatch.transforms import Linear

REACH_PX = 8.0
"""How far tie points look; inliers within TIE_PX of the transform are compared with what chance puts there."""
TIE_PX = 2.0
NO_RIVAL = 12.0

LIMITS: dict[str, tuple[float, float]] = {
    "structure": (-0.2, 0.8),
    "structure_fine": (-0.2, 0.8),
    "structure_z": (-20.0, 120.0),
    "structure_gain": (-20.0, 120.0),
    "information": (0.0, 0.5),
    "information_gain": (-1.0, 5.0),
    "information_z": (-5.0, 20.0),
    "overlap": (0.0, 1.0),
    "lead": (0.0, NO_RIVAL),
    "inlier_share": (0.0, 1.0),
    "coverage": (0.0, 1.0),
    "forward_backward_px": (0.0, 10.0),
    "chance_log10": (-60.0, 0.0),
    "halves_px": (0.0, 20.0),
    "sharpening_px": (0.0, 20.0),
    "scale_change": (0.0, 1.0),
    "drawn": (-0.2, 0.8),
    "drawn_z": (-20.0, 60.0),
    "drawn_gain": (-20.0, 60.0),
}
"""Measure -> range it is clipped to before it is weighed. Those of drawn fields only where a matcher draws some."""


def gather(alignment: Alignment, fixed: View, moving: View, seed: int) -> dict[str, float]:
    """All measures of `LIMITS`, "inliers" and "repetition" of an alignment of two views; lengths in fixed view px."""
    best, ties = alignment.best, alignment.ties
    pose = Linear(best.matrix, "affine")
    residual = np.linalg.norm(pose(ties.moving_xy) - ties.fixed_xy, axis=1)
    agrees = residual < TIE_PX
    count = len(ties)
    steady = alignment.forward_backward_px < FORWARD_BACKWARD_PX
    return {
        **{name: float(np.clip(v, *LIMITS[name])) for name, v in best.measures.items() if name in LIMITS},
        "lead": NO_RIVAL if alignment.rival is None else best.standing - alignment.rival.standing,
        "repetition": repetition(fixed, moving, best.matrix),
        "inliers": float(agrees.sum()),
        "inlier_share": float(agrees.mean()) if count else 0.0,
        "coverage": _coverage(ties[agrees], fixed, best.matrix, moving),
        "forward_backward_px": float(np.median(alignment.forward_backward_px)) if count else REACH_PX,
        # Windows overlap by half or more, so that only about a quarter of them speak for themselves.
        "chance_log10": _chance_log10(int(agrees.sum()) // 4, max(count // 4, 1)),
        "halves_px": _halves(
            ties[steady & (residual < 2 * TIE_PX)], moving, seed, mirrored=bool(np.linalg.det(best.matrix[:2, :2]) < 0)
        ),
        "sharpening_px": max(alignment.agreement.values(), default=0.0),
        "scale_change": float(abs(np.log(np.sqrt(abs(np.linalg.det(best.matrix[:2, :2])))))),
    }


def judge(
    evidence: dict[str, float], *, px_per_view_px: float, ground_per_px: float | None, unit: str | None
) -> Verdict:
    """The verdict on a body of evidence.

    Args:
        px_per_view_px: size of a view px in px of the fixed file; the expected error scales with it.
        ground_per_px: size of a fixed px in `unit`, or None.
    """
    model = coefficients(drawn=DRAWN[0] in evidence)
    probability = float(1 / (1 + np.exp(-score(evidence, model))))
    # An alignment that another one equals is not accepted however well it fits: of both, one at most is right.
    unique = evidence["lead"] >= model["min_lead"] and evidence.get("repetition", 0.0) <= model["max_repetition"]
    probability = probability if unique else min(probability, 0.5)
    accepted = unique and probability >= model["threshold"]
    ce90 = expected_error(evidence, model) * px_per_view_px if accepted else None
    return Verdict(
        accepted=accepted,
        probability=probability,
        reason=_reason(accepted, evidence, model) if unique else AMBIGUOUS,
        ce90_px=ce90,
        ce90_ground=None if ce90 is None or ground_per_px is None else ce90 * ground_per_px,
        ground_unit=unit if ground_per_px is not None else None,
        evidence=evidence,
    )


def finer(verdict: Verdict, factor: float) -> Verdict:
    """The verdict after matching at a finer resolution: its expected error shrinks by `factor`."""
    px, ground = (None if value is None else value * factor for value in (verdict.ce90_px, verdict.ce90_ground))
    return replace(verdict, ce90_px=px, ce90_ground=ground)


def score(evidence: dict[str, float], model: dict[str, Any]) -> float:
    """Log-odds that the alignment is right."""
    return float(model["intercept"] + sum(_parts(evidence, model).values()))


def _parts(evidence: dict[str, float], model: dict[str, Any]) -> dict[str, float]:
    """What each measure adds to the log-odds. Beyond the range that the fit has seen a measure says no more."""
    return {
        name: weight * (np.clip(evidence[name], *model["range"][name]) - model["mean"][name]) / model["spread"][name]
        for name, weight in model["weights"].items()
    }


def expected_error(evidence: dict[str, float], model: dict[str, Any]) -> float:
    """90th percentile of the position error, fixed view px: log-linear in what the halves disagree by and in the share
    of tie points that agree (benchmarks/fit_verdict.py)."""
    weights = model["ce90"]
    return float(np.exp(weights["intercept"] + sum(weights[k] * v for k, v in error_measures(evidence).items())))


def error_measures(evidence: dict[str, float]) -> dict[str, float]:
    """What the expected error is reckoned from."""
    halves, share = (float(np.clip(evidence[name], *LIMITS[name])) for name in ("halves_px", "inlier_share"))
    return {"log_halves_px": float(np.log(0.25 + halves)), "inlier_share": share}


@cache
def coefficients(*, drawn: bool) -> dict[str, Any]:
    """Fitted on what the structural matcher finds, or on what `xmatch-fields` does with drawn fields as evidence."""
    return json.loads(files("xmatch").joinpath("verdict-fields.json" if drawn else "verdict.json").read_text())


def _chance_log10(agreeing: int, count: int) -> float:
    """log10 of the probability that chance alone puts so many of `count` tie points where the transform wants them."""
    hit = np.pi * TIE_PX**2 / (2 * REACH_PX + 1) ** 2
    tail = bdtrc(agreeing - 1, count, hit) if agreeing > 0 else 1.0
    return float(np.log10(max(tail, 10.0 ** LIMITS["chance_log10"][0])))


def _coverage(inliers: Correspondences, fixed: View, matrix: np.ndarray, moving: View, cells: int = 6) -> float:
    """Share of the overlap's cells (6 x 6 over the fixed view) that hold an inlier."""
    size = (fixed.width, fixed.height)
    ys, xs = np.mgrid[0:cells, 0:cells]
    centres = np.stack([(xs + 0.5) * size[0] / cells, (ys + 0.5) * size[1] / cells], -1).reshape(-1, 2)
    back = Linear(matrix, "affine").inverse(centres)
    shared = ((back > 0) & (back < (moving.width, moving.height))).all(axis=1)
    cell = np.clip((inliers.fixed_xy / size * cells).astype(int), 0, cells - 1)
    hit = np.zeros((cells, cells), bool)
    hit[cell[:, 1], cell[:, 0]] = True
    return float((hit.ravel() & shared).sum() / max(shared.sum(), 1))


def _halves(ties: Correspondences, moving: View, seed: int, *, mirrored: bool) -> float:
    """Distance of moving's corners under fits to two interleaved halves, fixed view px; 20 when a half has no fit."""
    worst = LIMITS["halves_px"][1]
    if len(ties) < 12:
        return worst
    # Neighbouring windows share pixels: a chessboard of rows keeps the halves from being copies of each other.
    order = np.lexsort((ties.fixed_xy[:, 0], ties.fixed_xy[:, 1]))
    fits = [
        estimate(ties[order[part::2]], "similarity", seed=seed, tolerance_px=3.0, allow_mirror=mirrored).transform
        for part in (0, 1)
    ]
    if any(fit is None for fit in fits):
        return worst
    outline = np.array([[0, 0], [moving.width, 0], [moving.width, moving.height], [0, moving.height]], float)
    return float(min(worst, np.linalg.norm(fits[0](outline) - fits[1](outline), axis=1).mean()))


def _reason(accepted: bool, evidence: dict[str, float], model: dict[str, Any]) -> str:
    """The measures that speak loudest, in words."""
    parts = _parts(evidence, model)
    loudest = sorted(parts, key=lambda name: parts[name], reverse=accepted)[:2]
    words = " and ".join(SPOKEN[name][0 if accepted else 1] for name in loudest)
    return f"{words[0].upper()}{words[1:]}."


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
    "sharpening_px": ("different refinements agree", "different refinements disagree"),
    "scale_change": ("the scale is near the expected one", "the scale is far from the expected one"),
}
