"""Objectives: what is trained, one step function each. The loop knows nothing of matching beyond this protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.synth.pairs import TrainingPairs


class Objective(Protocol):
    architecture: str
    """What the weights' file names as what builds the network."""

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The network's config as JSON.

        Args:
            size: name of a shape; None: the first.
            changes: fields to be changed.

        Raises:
            UsageError: an unknown size or field, or a value that does not fit.
        """

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The network with fresh weights, on the CPU."""

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        """Scalars, the same names every time; "total" is what is minimised.

        The model's forward pass is called exactly once: with several processes, that is where gradients are averaged.

        Args:
            finest: stride of the last refinement that is trained, where there are any.
        """

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """For each pair the distances in px of moving between predicted and true positions, (N,), N = 0 allowed."""


def _dense() -> Objective:
    from xmatch.training.objectives.dense import Dense

    return Dense()


def _semidense() -> Objective:
    from xmatch.training.objectives.semidense import SemiDense

    return SemiDense()


def _sparse() -> Objective:
    from xmatch.training.objectives.sparse import Sparse

    return Sparse()


def _fields() -> Objective:
    from xmatch.training.objectives.fields import Fields

    return Fields()


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "dense": _dense,
    "fields": _fields,
    "semidense": _semidense,
    "sparse": _sparse,
}
"""name -> builder."""


def load_objective(name: str) -> Objective:
    """
    Raises:
        UsageError: no such objective.
    """
    if name not in OBJECTIVES:
        raise UsageError(f"there is no objective {name!r}", hint=f"known: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]()
