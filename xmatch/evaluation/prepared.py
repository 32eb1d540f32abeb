"""A pair in the form in which matchers get it, and what is true of it."""

from __future__ import annotations

from dataclasses import dataclass

from xmatch.evaluation.prediction_rows import Places, SavedTruth


@dataclass(frozen=True)
class PreparedPair:
    """What a matcher is given, and what is true of it."""

    fixed: str
    moving: str
    truth: SavedTruth | None
    """As `truths` saves it."""
    moving_corners: list[list[float]] | None = None
    """Of a warped image, as in `prediction_rows.Places`."""
    moving_seen: list[str] | None = None

    @property
    def places(self) -> Places:
        if self.moving_corners is None or self.moving_seen is None:
            return {}
        return {"moving_corners": self.moving_corners, "moving_seen": self.moving_seen}
