"""How finely poses are searched: read by whoever searches, on whatever device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchSettings:
    """How finely all poses are searched, and how many of them are refined and handed on."""

    side_px: float
    """The fixed view is reduced to side_px^2 pixels."""
    angle_step_deg: float
    scale_step: float
    """Ratio of neighbouring scales."""
    found: int
    """Proposals of the search."""
    refined: int
    """Those of them that are refined at the finest level."""
    kept: int
    """Those of them that are handed on."""


EDGE_SEARCH = SearchSettings(side_px=200, angle_step_deg=6.0, scale_step=1.15, found=8, refined=4, kept=3)
"""As right as 300 px, 5 degrees, 12 %, 16, 8 and 6 on 72 training pairs, in less than half the time (lab log,
"A coarser search costs nothing")."""
LEARNED_SEARCH = SearchSettings(side_px=240, angle_step_deg=6.0, scale_step=1.15, found=16, refined=16, kept=12)
"""Where moving shows a small part of fixed, the right pose is far down the learned search's list."""
SAME_POSE = 0.02
"""Proposals whose corners lie nearer than this share of the side are measured once. Not tuned."""
