"""Every measure behind a verdict, once: its range, which way it speaks, and how it is said to a person."""

from __future__ import annotations

from dataclasses import dataclass

REGION_REACH_PX = 16
"""How far a region (a window of a good part of the overlap) looks for its place, fixed view px. Not tuned."""

BANDS = "Try bands in which both sensors show the same structures (--band, --moving-band), or another --matcher."
CUT = "Cut both images to the part that they share."
NARROWER = "Narrow the search to what you know of the pair: --max-angle, --max-scale."
STIFFER = "Ask for a stiffer --transform: similarity needs the least evidence."
FREER = "Images that bend against each other need a freer --transform: homography, grid."


@dataclass(frozen=True)
class Measure:
    """A number that says how well an alignment fits."""

    label: str
    """Of its line in the report."""
    meaning: str
    """One line."""
    sign: int
    """1 where it speaks for an alignment when it grows, -1 where it speaks against one. Weights of a fit keep it: where
    measures repeat each other, a free fit would let one count backwards, which holds on no other sensor."""
    accepted: str = ""
    """What is said where it speaks loudest for an alignment, as part of a sentence."""
    refused: str = ""
    """The same where it speaks against one."""
    range: tuple[float, float] | None = None
    """The verdict clips to this before it weighs; None: a guard that is not weighed."""
    judged_range: tuple[float, float] | None = None
    """The judge of proposals does; None: not measured, or not weighed by it."""
    unit: str = ""
    """"%" for a share in [0, 1], "px" for px of the match view, "" for a plain number."""
    usual: float | None = None
    """Right alignments usually reach this, or stay below it where `sign` is -1. A guide for the reader: the verdict
    itself does not use it."""
    advice: str = ""
    """What to try when it fails."""


MEASURES: dict[str, Measure] = {
    "inliers": Measure(
        "Inliers",
        "Tie points that agree with the alignment.",
        sign=1,
        usual=8,
        advice=BANDS,
    ),
    "inlier_share": Measure(
        "Agreeing share",
        "Tie points of the first look that agree with the alignment, of all that were tried there.",
        sign=1,
        accepted="most tie points agree",
        refused="few tie points agree",
        range=(0.0, 1.0),
        unit="%",
        usual=0.1,
        advice=BANDS,
    ),
    "coverage": Measure(
        "Coverage",
        "Part of the overlap in which inliers lie. A small cluster says nothing about the rest.",
        sign=1,
        accepted="tie points agree all over the overlap",
        refused="tie points agree in a small part only",
        range=(0.0, 1.0),
        unit="%",
        usual=0.3,
        advice=CUT,
    ),
    "overlap": Measure(
        "Overlap",
        "Part of the smaller image that lies on the other one.",
        sign=1,
        accepted="the images overlap well",
        refused="the images hardly overlap",
        range=(0.0, 1.0),
        judged_range=(0.0, 1.0),
        unit="%",
        usual=0.5,
        advice=CUT,
    ),
    "structure": Measure(
        "Edges agree",
        "Correlation of edge directions, above that of shifted copies.",
        sign=1,
        accepted="edges of both images run alike",
        refused="edges of the two images do not run alike",
        range=(-0.2, 0.8),
        judged_range=(-1.0, 1.0),
        usual=0.1,
        advice=BANDS,
    ),
    "structure_fine": Measure(
        "Fine edges agree",
        "The same for corners and crossings, which blur away first.",
        sign=1,
        accepted="fine edges run alike",
        refused="fine edges do not run alike",
        range=(-0.2, 0.8),
        judged_range=(-1.0, 1.0),
        usual=0.01,
    ),
    "structure_z": Measure(
        "Edges against chance",
        "Agreement of edges in standard deviations of an accidental alignment.",
        sign=1,
        accepted="the edges agree far better than chance would",
        refused="the edges agree hardly better than chance would",
        range=(-20.0, 120.0),
        judged_range=(-50.0, 200.0),
        usual=15.0,
        advice=BANDS,
    ),
    "structure_gain": Measure(
        "Edges against the best shifted copy",
        "How far agreement falls, in the same unit, at the best of eight shifts.",
        sign=1,
        accepted="the fit falls off when the image is shifted",
        refused="shifted copies fit about as well",
        range=(-20.0, 120.0),
        judged_range=(-50.0, 200.0),
        usual=11.0,
    ),
    "drawn": Measure(
        "Drawn structure agrees",
        "How much better what the network draws of both images correlates here than at eight shifted places.",
        sign=1,
        accepted="what the network draws runs alike",
        refused="what the network draws does not run alike",
        range=(-0.2, 0.8),
        judged_range=(-1.0, 1.0),
    ),
    "drawn_z": Measure(
        "Drawn structure against chance",
        "The same in standard deviations of a chance alignment, up to a constant factor.",
        sign=1,
        accepted="what it draws agrees far better than chance would",
        refused="what it draws agrees hardly better than chance",
        range=(-20.0, 60.0),
        judged_range=(-20.0, 60.0),
    ),
    "drawn_gain": Measure(
        "Drawn structure against the best shifted copy",
        "How far agreement falls, in the same unit, at the best of eight shifts.",
        sign=1,
        accepted="what it draws falls apart when the image is shifted",
        refused="shifted, what it draws fits as well",
        range=(-20.0, 60.0),
        judged_range=(-20.0, 60.0),
    ),
    "information": Measure(
        "Mutual information",
        "How well one image's brightness predicts the other's: 0 not at all, 1 fully.",
        sign=1,
        accepted="one image predicts the other's brightness",
        refused="neither image predicts the other's brightness",
        range=(0.0, 0.5),
        usual=0.02,
    ),
    "information_gain": Measure(
        "Information gain",
        "How much mutual information rises above that of shifted copies: 1 is twice as much.",
        sign=1,
        accepted="the images share information only here",
        refused="the images share no more information here than elsewhere",
        range=(-1.0, 5.0),
        judged_range=(-1.0, 5.0),
        usual=0.2,
        advice=BANDS,
    ),
    "information_z": Measure(
        "Information against shifts",
        "The same rise in standard deviations among the shifted copies.",
        sign=1,
        accepted="shared information peaks here",
        refused="shared information does not peak here",
        range=(-5.0, 20.0),
        judged_range=(-5.0, 20.0),
        usual=1.0,
    ),
    "lead": Measure(
        "Lead",
        "How far the alignment stands above the best other one, in log-odds.",
        sign=1,
        accepted="no other alignment comes near",
        refused="another alignment fits nearly as well",
        range=(0.0, 12.0),
        usual=1.0,
        advice=NARROWER,
    ),
    "repetition": Measure(
        "Repetition",
        "How well the best other place in the image fits, as a share of the alignment's own fit.",
        sign=-1,
        unit="%",
        usual=0.85,
        advice=NARROWER,
    ),
    "forward_backward_px": Measure(
        "Forward-backward error",
        "How far a point lands from its start when it is matched there and back (median).",
        sign=-1,
        accepted="matching there and back returns to the start",
        refused="matching there and back does not return to the start",
        range=(0.0, 10.0),
        unit="px",
        usual=3.0,
        advice=NARROWER,
    ),
    "halves_px": Measure(
        "Agreement of two halves",
        "How far two transforms lie apart that are fitted to independent halves of the tie points.",
        sign=-1,
        accepted="two halves of the tie points agree",
        refused="two halves of the tie points disagree",
        range=(0.0, 20.0),
        unit="px",
        usual=5.0,
        advice=STIFFER,
    ),
    "regions_share": Measure(
        "Regions that agree",
        "Large parts of the overlap that find their place, each by itself, where the map puts them.",
        sign=1,
        accepted="large parts of the images agree",
        refused="large parts of the images do not agree",
        range=(0.0, 1.0),
        unit="%",
        usual=0.4,
        advice=FREER,
    ),
    "regions_px": Measure(
        "Regions off",
        "How far three in four of these parts lie from there at most.",
        sign=-1,
        accepted="no large part of the images lies off",
        refused="large parts of the images lie off",
        range=(0.0, REGION_REACH_PX),
        unit="px",
        usual=5.0,
        advice=FREER,
    ),
    "chance_log10": Measure(
        "Chance level",
        "Power of ten of the probability that chance makes so many tie points agree; far below 0 is good.",
        sign=-1,
        accepted="chance would not explain the tie points",
        refused="chance would explain the tie points",
        range=(-60.0, 0.0),
        usual=-0.6,
    ),
    "sharpening_px": Measure(
        "Agreement of refinements",
        "How far different ways to refine the alignment end apart.",
        sign=-1,
        accepted="different refinements agree",
        refused="different refinements disagree",
        range=(0.0, 20.0),
        unit="px",
        usual=8.0,
    ),
    "scale_change": Measure(
        "Change of scale",
        "Distance from the expected scale, as a logarithm: 0 is none, 0.69 twofold.",
        sign=-1,
        accepted="the scale is near the expected one",
        refused="the scale is far from the expected one",
        range=(0.0, 1.0),
        unit="",
        usual=0.5,
        advice=NARROWER,
    ),
}
"""Name in `Verdict.evidence` -> the measure. Those of drawn structure only where a network describes images."""

RANGES: dict[str, tuple[float, float]] = {name: m.range for name, m in MEASURES.items() if m.range is not None}
"""Of all measures that the verdict may weigh. Not tuned: wide enough for whatever training pairs show."""

JUDGED_RANGES = {name: m.judged_range for name, m in MEASURES.items() if m.judged_range is not None}
"""Of all that the judge of proposals may weigh. Not tuned."""
