"""The guard: keeps the weights that do best on held-out pairs, and says whether they beat those it all began with.

Plain few-shot tuning is worse than the untouched model on three of the paper's four data sets; nobody should find that
out afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from xmatch.adaptation.evidence import Row
from xmatch.training.run import Run

Measure = Callable[[nn.Module], list[Row]]
"""A network in evaluation mode -> rows; the first has the "score", higher being better."""


class Guard:
    """
    Args:
        measure: what is asked of held-out pairs.
        gain: points by which the score must rise.
    """

    def __init__(self, measure: Measure, gain: float = 0.0) -> None:
        self._measure, self._gain = measure, gain
        self.untouched: list[Row] = []
        """All rows of the weights that the adaptation starts from."""
        self.best: Row = {}
        """Of the best since, with its "step"."""
        self.weights: dict[str, Tensor] = {}
        """The best since, on the CPU."""

    def begin(self, run: Run) -> Row:
        """Measure the untouched network."""
        self.untouched = [{"step": 0, **row} for row in self._measure(run.averaged_model())]
        return self.before

    @property
    def before(self) -> Row:
        """The row of the untouched network that counts."""
        return self.untouched[0]

    def check(self, run: Run) -> list[Row]:
        """Measure a run's weights, and keep them if none were better."""
        model = run.averaged_model()
        rows = self._measure(model)
        if not self.best or float(rows[0]["score"]) > float(self.best["score"]):
            self.best = {"step": run.step, **rows[0]}
            self.weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        return rows

    @property
    def better(self) -> bool:
        """Whether the best weights since beat the untouched ones."""
        return bool(self.best) and float(self.best["score"]) > float(self.before["score"]) + self._gain

    def state_dict(self) -> dict[str, Any]:
        return {"untouched": self.untouched, "best": self.best, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.untouched = [dict(row) for row in state["untouched"]]
        self.best, self.weights = dict(state["best"]), dict(state["weights"])
