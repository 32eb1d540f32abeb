"""Which certainties count as labels: bounds above which a cell is taken to match, and below which not to.

Three schemes that the paper compares: its own self-adaptive one (equations 3 and 4), a fixed one (FixMatch, Sohn et
al. 2020) and FreeMatch (Wang et al. 2022, equations 5 to 8) with "does not match" as the second class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

FIXED_HIGH = 0.95
"""FixMatch's."""


@dataclass(frozen=True)
class Bounds:
    """A cell of probability p is a positive where p > high, a negative where p < low, else left alone."""

    high: float
    low: float


@dataclass(frozen=True)
class Confidence:
    """How sure the network has been on unlabelled pairs: moving averages over batches, from 0.5."""

    matching: float = 0.5
    """Of the mean probability that a finest cell matches: tau_t of equation (3)."""
    sure: float = 0.5
    """Of the mean probability of the likelier class, max(p, 1 - p): FreeMatch's global threshold."""

    def after(self, matching: float, sure: float, momentum: float) -> Confidence:
        """With one more batch, whose means these are; a batch whose means are not finite changes nothing."""
        if not (math.isfinite(matching) and math.isfinite(sure)):
            return self

        def blended(old: float, new: float) -> float:
            return momentum * old + (1 - momentum) * new

        return Confidence(blended(self.matching, matching), blended(self.sure, sure))


def adaptive(confidence: Confidence) -> Bounds:
    """Equation (4): tau_h = tau_t, tau_l = min(1 - tau_t, tau_h)."""
    high = confidence.matching
    return Bounds(high, min(1 - high, high))


def fixed(confidence: Confidence) -> Bounds:
    return Bounds(FIXED_HIGH, 1 - FIXED_HIGH)


def freematch(confidence: Confidence) -> Bounds:
    """The global threshold times each class's share over that of the commoner class; a cell belongs to its likelier
    class, so that neither bound crosses 0.5."""
    shares = confidence.matching, 1 - confidence.matching
    positive, negative = (confidence.sure * share / max(shares) for share in shares)
    return Bounds(max(positive, 0.5), min(1 - negative, 0.5))


THRESHOLDS: dict[str, Callable[[Confidence], Bounds]] = {
    "adaptive": adaptive,
    "fixed": fixed,
    "freematch": freematch,
}
"""name -> bounds from the confidence so far."""
