"""What each measure behind a verdict means, to a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xmatch.report.numbers import percent, quantity


@dataclass(frozen=True)
class Measure:
    label: str
    meaning: str
    """One line."""
    unit: str = ""
    """"%" for a share in [0, 1], "px" for fixed px, "" for a plain number."""
    at_least: float | None = None
    """Right alignments usually reach this. A guide for the reader: the verdict itself does not use it."""
    at_most: float | None = None
    """Right alignments usually stay below this."""
    advice: str = ""
    """What to try when it fails."""


OTHER_VIEW = "Try bands in which both sensors show the same structures (--band, --moving-band), or another --matcher."
CUT = "Cut both images to the part that they share."
NARROW = "Narrow the search to what you know of the pair: --max-angle, --max-scale."
STIFFER = "Ask for a stiffer --transform: similarity needs the least evidence."

MEASURES: dict[str, Measure] = {
    "inliers": Measure(
        "Inliers",
        "Correspondences that agree with the transform.",
        at_least=20,
        advice=OTHER_VIEW,
    ),
    "inlier_share": Measure(
        "Inlier share",
        "Correspondences that agree with the transform, of all that were found.",
        unit="%",
        at_least=0.2,
        advice=OTHER_VIEW,
    ),
    "coverage": Measure(
        "Coverage",
        "Part of the overlap in which inliers lie. A small cluster says nothing about the rest.",
        unit="%",
        at_least=0.3,
        advice=CUT,
    ),
    "overlap": Measure(
        "Overlap",
        "Part of the fixed image that the moving image covers once it is laid on.",
        unit="%",
        at_least=0.1,
        advice=CUT,
    ),
    "forward_backward_px": Measure(
        "Forward-backward error",
        "How far a point lands from its start when it is matched there and back.",
        unit="px",
        at_most=3.0,
        advice=NARROW,
    ),
    "held_out_px": Measure(
        "Held-out residual",
        "Median residual of correspondences that were kept out of the fit.",
        unit="px",
        at_most=3.0,
        advice=NARROW,
    ),
    "halves_px": Measure(
        "Agreement of two halves",
        "How far two transforms lie apart that are fitted to independent halves of the correspondences.",
        unit="px",
        at_most=5.0,
        advice=STIFFER,
    ),
    "chance_log10": Measure(
        "Chance level",
        "Power of ten of the number of such agreements expected among random matches; far below 0 is good.",
        at_most=-3.0,
    ),
    "similarity_gain": Measure(
        "Similarity after the warp",
        "Mutual information of the aligned images against shifted copies, a measure the matcher does not use.",
        at_least=2.0,
    ),
}
"""Name in `Verdict.evidence` -> what it means. A name that is not here is shown all the same, without a meaning."""

ALWAYS_WORTH_TRYING = (
    "Check by eye that both images show the same place and share enough of it.",
    "Georeferencing that is wrong misleads the search: --ignore-georef leaves it out, --assume-crs supplies it.",
    "Where one image may be turned over, allow for it: --mirror.",
)


def rows(evidence: dict[str, float | None]) -> list[dict[str, Any]]:
    """Label, value, guide, meaning and weakness of each measure, in the order in which they are known."""
    known = sorted(evidence, key=lambda name: list(MEASURES).index(name) if name in MEASURES else len(MEASURES))
    return [_row(name, evidence[name]) for name in known]


def advice(evidence: dict[str, float | None]) -> list[str]:
    """What to try after a rejection, the advice of the weak measures first."""
    weak = [row["advice"] for row in rows(evidence) if row["weak"] and row["advice"]]
    return list(dict.fromkeys([*weak, *ALWAYS_WORTH_TRYING]))


def _row(name: str, value: float | None) -> dict[str, Any]:
    measure = MEASURES.get(name) or Measure(name.replace("_", " ").capitalize(), "")
    guide = ""
    weak = False
    if measure.at_least is not None:
        guide = f"at least {_text(measure.at_least, measure.unit)}"
        weak = value is not None and value < measure.at_least
    if measure.at_most is not None:
        guide = f"at most {_text(measure.at_most, measure.unit)}"
        weak = value is not None and value > measure.at_most
    return {
        "name": name,
        "label": measure.label,
        "value": _text(value, measure.unit),
        "guide": guide,
        "meaning": measure.meaning,
        "weak": weak,
        "advice": measure.advice,
    }


def _text(value: float | None, unit: str) -> str:
    return percent(value) if unit == "%" else quantity(value, unit, 2 if unit else 3)
