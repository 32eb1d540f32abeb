"""One registration that a benchmark asks for."""

from __future__ import annotations

from dataclasses import dataclass

from xmatch.datasets import Warp
from xmatch.evaluation.prediction_rows import KindName, SavedTruth
from xmatch.evaluation.recipe import Change


@dataclass(frozen=True)
class Task:
    """One registration to run, or the reason why its row of the manifest cannot be."""

    id: str
    """Set and row, "Optical-SAR/0007"; unrelated pairs name both, "Optical-SAR/0007 x Nighttime/0027"."""
    set: str
    fixed: str
    moving: str
    truth: SavedTruth | None
    """As `truths` saves it: (3, 3) moving -> fixed, corner-counted px, or points, poses, tracks; None for unrelated
    images."""
    related: bool = True
    kind: KindName = "registration"
    """Which numbers tell how good it is: a key of `xmatch.evaluation.scores.KINDS`."""
    frames: tuple[str, int, int] | None = None
    """Video, and its frames that are fixed and moving, where the file holds videos."""
    warp: Warp | None = None
    """How moving is made of its file, where a data set says so."""
    change: Change | None = None
    """What is done to the pair first: moving warped, or a factor of a robustness sweep."""
    keeps_matches: bool = False
    """Its correspondences are wanted too: for matching accuracy, or because a pose is estimated from them."""
    filler: str | None = None
    """The image whose content fills the border of moving when the recipe says `fill: other`."""
    problem: str | None = None
