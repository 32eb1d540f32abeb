"""What is to be verified: a pose of one view on the other, and the tie points and regions around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from xmatch.coords import Floats
from xmatch.correspondences import Correspondences
from xmatch.geometry import Linear, Transform

FORWARD_BACKWARD_PX = 1.5
"""A tie point is steady when matching there and back returns to within this of its start, fixed view px. Not tuned."""


@dataclass(frozen=True, eq=False)
class ScoredProposal:
    """A proposal, measured by what the matcher did not look at."""

    matrix: Floats
    """(3, 3) moving view px -> fixed view px; of a refined map the affine one nearest to it."""
    measures: dict[str, float]
    log_odds: float
    """What the judge makes of the measures: log-odds against the other candidates, up to a constant."""
    made_by: str
    refined: Transform | None = None
    """The map that it became, moving view px -> fixed view px, where no one pose holds for all of moving."""

    @property
    def to_fixed(self) -> Transform:
        """Moving view px -> fixed view px."""
        return self.refined or Linear(self.matrix, "affine")


@dataclass(frozen=True, eq=False)
class Alignment:
    """The best proposal of a pair, and what tie points and regions around it say."""

    best: ScoredProposal
    rivals: tuple[ScoredProposal, ...]
    """Proposals that lie elsewhere, best first."""
    ties: Correspondences
    """Tie points around the best proposal, view px, both ways matched."""
    forward_backward_px: Floats
    """(N,) for each tie point, fixed view px."""
    regions: Correspondences
    """The same of windows that are a good part of the overlap each: they find each other where smaller ones see little
    that both images show, and say whether one map holds all over."""
    regions_forward_backward_px: Floats
    """(R,) fixed view px."""
    agreement: dict[str, float] = field(default_factory=dict)
    """Distance between the best proposal and what other ways to sharpen it found, fixed view px."""
