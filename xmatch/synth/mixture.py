"""Several sources as one, each with its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmatch.synth.sources.aligned import PairSource
from xmatch.synth.sources.worlds import SceneMaker, Worlds
from xmatch.synth.warps import base_side


class Mixture:
    """Sources with weights, as MatchAnything mixes its three kinds (He et al. 2025, section 3.1).

    Args:
        sources: (source, weight) pairs; the weights are positive and need not sum to 1. A bare source weighs 1.

    Raises:
        ValueError: no source, or a weight that is not positive.
    """

    def __init__(self, sources: Sequence[PairSource | tuple[PairSource, float]]) -> None:
        pairs = [item if isinstance(item, tuple) else (item, 1.0) for item in sources]
        if not pairs:
            raise ValueError("a mixture of no sources")
        if min(weight for _, weight in pairs) <= 0:
            raise ValueError("weights of a mixture must be positive")
        self.sources = tuple(source for source, _ in pairs)
        total = sum(weight for _, weight in pairs)
        self.shares = tuple(weight / total for _, weight in pairs)

    def go_to(self, number: int, *seed: int) -> None:
        """The next draw is number `number` of those with this seed: for sources that keep scenes between draws."""
        for place, source in enumerate(self.sources):
            if isinstance(source, Worlds):
                source.go_to(number, *seed, place)

    def make_with(self, maker: SceneMaker) -> None:
        """Let somebody else make the scenes that sources keep; they stay the same scenes."""
        for source in self.sources:
            if isinstance(source, Worlds):
                source.maker = maker

    def foresee(self, size: int) -> None:
        """Ask for the scenes of the next draws, of pairs of `size` px."""
        for source in self.sources:
            if isinstance(source, Worlds):
                source.foresee(base_side(size))

    def allot(self, count: int, host: np.random.Generator) -> list[np.ndarray]:
        """For each source, which of `count` pairs it makes."""
        chosen = host.choice(len(self.sources), count, p=self.shares)
        return [np.flatnonzero(chosen == number) for number in range(len(self.sources))]
