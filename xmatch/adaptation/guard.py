"""The guard: keeps the weights that do best on held-out pairs, and says whether they beat those it all began with.

Plain few-shot tuning is worse than the untouched model on three of the paper's four data sets; nobody should find that
out afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from xmatch.adaptation.evidence import Evidence, Row
from xmatch.training.run import Run

Measure = Callable[[nn.Module], tuple[Evidence, list[Row]]]
"""A network in evaluation mode -> what counts, and further rows that are only reported."""

LEAST_PAIRS = 3
"""With fewer held-out pairs the interval is one over their views: it says nothing of other pairs then. Three is the
fewest that Student's t gives an interval of any use for."""


@dataclass(frozen=True)
class Gain:
    """By how much the score rose, on the same views."""

    mean: float
    interval: tuple[float, float] | None
    """95 %, by Student's t; None where there is one view only."""
    count: int
    over: str
    """What was counted: "pairs" or "views"."""

    @staticmethod
    def between(before: Sequence[float], after: Sequence[float], pairs: Sequence[str]) -> Gain:
        """
        Args:
            before, after: score of each view; NaN is left out.
            pairs: the pair that each view is of.
        """
        by_pair: dict[str, list[float]] = {}
        for pair, old, new in zip(pairs, before, after, strict=True):
            if math.isfinite(new - old):
                by_pair.setdefault(pair, []).append(new - old)
        views = [rise for rises in by_pair.values() for rise in rises]
        enough = len(by_pair) >= LEAST_PAIRS
        values = [sum(rises) / len(rises) for rises in by_pair.values()] if enough else views
        mean = sum(views) / max(len(views), 1)
        return Gain(mean, _interval(values), len(values), "pairs" if enough else "views")

    def as_dict(self) -> dict[str, Any]:
        bounds = self.interval and [round(bound, 4) for bound in self.interval]
        return {"mean": round(self.mean, 4), "interval": bounds, "count": self.count, "over": self.over}


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean."""
    from scipy.special import stdtrit

    count = len(values)
    if count < 2:
        return None
    mean = sum(values) / count
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    reach = float(stdtrit(count - 1, 0.975)) * error
    return mean - reach, mean + reach


class Guard:
    """
    Args:
        measure: what is asked of held-out pairs.
        pairs: the pair that each view of `Evidence.scores` is of.
        gain: points that the score must rise by, more than chance explains.
    """

    def __init__(self, measure: Measure, pairs: Sequence[str], gain: float = 0.0) -> None:
        self._measure, self._pairs, self._gain = measure, tuple(pairs), gain
        self.untouched: list[Row] = []
        """All rows of the weights that the adaptation starts from."""
        self.best: Row = {}
        """Of the best since, with its "step"."""
        self.weights: dict[str, Tensor] = {}
        """The best since, on the CPU."""
        self._scores: dict[str, list[float]] = {"before": [], "after": []}

    def begin(self, run: Run) -> Row:
        """Measure the untouched network."""
        found, more = self._measure(run.averaged_model())
        self.untouched = [{"step": 0, **row} for row in (found.row, *more)]
        self._scores["before"] = list(found.scores)
        return self.before

    @property
    def before(self) -> Row:
        """The row of the untouched network that counts."""
        return self.untouched[0]

    def check(self, run: Run) -> list[Row]:
        """Measure a run's weights, and keep them if none were better."""
        model = run.averaged_model()
        found, more = self._measure(model)
        if not self.best or float(found.row["score"]) > float(self.best["score"]):
            self.best = {"step": run.step, **found.row}
            self.weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            self._scores["after"] = list(found.scores)
        return [found.row, *more]

    @property
    def gain(self) -> Gain | None:
        """Of the best weights since over the untouched ones; None before there are any."""
        return Gain.between(self._scores["before"], self._scores["after"], self._pairs) if self.best else None

    @property
    def better(self) -> bool:
        """Whether the best weights since beat the untouched ones by more than chance explains."""
        gain = self.gain
        return gain is not None and gain.interval is not None and gain.interval[0] > self._gain

    def state_dict(self) -> dict[str, Any]:
        scores = {name: list(values) for name, values in self._scores.items()}
        return {"untouched": self.untouched, "best": self.best, "weights": self.weights, "scores": scores}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.untouched = [dict(row) for row in state["untouched"]]
        self.best, self.weights = dict(state["best"]), dict(state["weights"])
        self._scores = {name: list(scores) for name, scores in state["scores"].items()}
