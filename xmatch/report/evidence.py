"""What each measure behind a verdict means, to a person."""

from __future__ import annotations

from dataclasses import dataclass

from xmatch.report.numbers import percent, quantity


@dataclass(frozen=True)
class Measure:
    label: str
    meaning: str
    """One line."""
    unit: str = ""
    """"%" for a share in [0, 1], "px" for px of the match view, "" for a plain number."""
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
FREER = "Images that bend against each other need a freer --transform: homography, grid."

MEASURES: dict[str, Measure] = {
    "inliers": Measure(
        "Inliers",
        "Tie points that agree with the alignment.",
        at_least=8,
        advice=OTHER_VIEW,
    ),
    "inlier_share": Measure(
        "Agreeing share",
        "Tie points of the first look that agree with the alignment, of all that were tried there.",
        unit="%",
        at_least=0.1,
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
        "Part of the smaller image that lies on the other one.",
        unit="%",
        at_least=0.5,
        advice=CUT,
    ),
    "structure": Measure(
        "Edges agree",
        "Correlation of edge directions, above that of shifted copies.",
        at_least=0.1,
        advice=OTHER_VIEW,
    ),
    "structure_fine": Measure(
        "Fine edges agree",
        "The same for corners and crossings, which blur away first.",
        at_least=0.01,
    ),
    "structure_z": Measure(
        "Edges against chance",
        "Agreement of edges in standard deviations of an accidental alignment.",
        at_least=15.0,
        advice=OTHER_VIEW,
    ),
    "structure_gain": Measure(
        "Edges against the best shifted copy",
        "How far agreement falls, in the same unit, at the best of eight shifts.",
        at_least=11.0,
    ),
    "drawn": Measure(
        "Drawn structure agrees",
        "How much better what the network draws of both images correlates here than at eight shifted places.",
    ),
    "drawn_z": Measure(
        "Drawn structure against chance",
        "The same in standard deviations of a chance alignment, up to a constant factor.",
    ),
    "drawn_gain": Measure(
        "Drawn structure against the best shifted copy",
        "How far agreement falls, in the same unit, at the best of eight shifts.",
    ),
    "information": Measure(
        "Mutual information",
        "How well one image's brightness predicts the other's: 0 not at all, 1 fully.",
        at_least=0.02,
    ),
    "information_gain": Measure(
        "Information gain",
        "How much mutual information rises above that of shifted copies: 1 is twice as much.",
        at_least=0.2,
        advice=OTHER_VIEW,
    ),
    "information_z": Measure(
        "Information against shifts",
        "The same rise in standard deviations among the shifted copies.",
        at_least=1.0,
    ),
    "lead": Measure(
        "Lead",
        "How far the alignment stands above the best other one, in log-odds.",
        at_least=1.0,
        advice=NARROW,
    ),
    "repetition": Measure(
        "Repetition",
        "How well the best other place in the image fits, as a share of the alignment's own fit.",
        unit="%",
        at_most=0.85,
        advice=NARROW,
    ),
    "forward_backward_px": Measure(
        "Forward-backward error",
        "How far a point lands from its start when it is matched there and back (median).",
        unit="px",
        at_most=3.0,
        advice=NARROW,
    ),
    "halves_px": Measure(
        "Agreement of two halves",
        "How far two transforms lie apart that are fitted to independent halves of the tie points.",
        unit="px",
        at_most=5.0,
        advice=STIFFER,
    ),
    "regions_share": Measure(
        "Regions that agree",
        "Large parts of the overlap that find their place, each by itself, where the map puts them.",
        unit="%",
        at_least=0.4,
        advice=FREER,
    ),
    "regions_px": Measure(
        "Regions off",
        "How far three in four of these parts lie from there at most.",
        unit="px",
        at_most=5.0,
        advice=FREER,
    ),
    "chance_log10": Measure(
        "Chance level",
        "Power of ten of the probability that chance makes so many tie points agree; far below 0 is good.",
        at_most=-0.6,
    ),
    "sharpening_px": Measure(
        "Agreement of refinements",
        "How far different ways to refine the alignment end apart.",
        unit="px",
        at_most=8.0,
    ),
    "scale_change": Measure(
        "Change of scale",
        "Distance from the expected scale, as a logarithm: 0 is none, 0.69 twofold.",
        at_most=0.5,
        advice=NARROW,
    ),
}
"""Name in `Verdict.evidence` -> what it means. A name that is not here is shown all the same, without a meaning."""


@dataclass(frozen=True)
class EvidenceRow:
    """One measure as a page shows it."""

    name: str
    label: str
    value: str
    guide: str
    """What right alignments usually have."""
    meaning: str
    weak: bool
    advice: str


def rows(evidence: dict[str, float | None]) -> list[EvidenceRow]:
    """Label, value, guide, meaning and weakness of each measure, in the order in which they are known."""
    known = sorted(evidence, key=lambda name: list(MEASURES).index(name) if name in MEASURES else len(MEASURES))
    return [_row(name, evidence[name]) for name in known]


def _row(name: str, value: float | None) -> EvidenceRow:
    measure = MEASURES.get(name) or Measure(name.replace("_", " ").capitalize(), "")
    guide = ""
    weak = False
    if measure.at_least is not None:
        guide = f"at least {_text(measure.at_least, measure.unit)}"
        weak = value is not None and value < measure.at_least
    if measure.at_most is not None:
        guide = f"at most {_text(measure.at_most, measure.unit)}"
        weak = value is not None and value > measure.at_most
    value_text = _text(value, measure.unit)
    return EvidenceRow(name, measure.label, value_text, guide, measure.meaning, weak, measure.advice)


def _text(value: float | None, unit: str) -> str:
    return percent(value) if unit == "%" else quantity(value, unit, 2 if unit else 3)
