"""What networks have in common: dense predictions, and the objective that a network is trained by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.synth.pairs import TrainingPairs


@dataclass(frozen=True, eq=False)
class DenseWarp:
    """Where each cell of one image lies in the other, at one scale."""

    stride: int
    """Pixels a cell."""
    warp: Tensor
    """(B, h, w, 2) normalised (x, y) in the other image; may leave [-1, 1]."""
    certainty: Tensor
    """(B, h, w) logits: that the warp is right to within about a cell."""


@dataclass(frozen=True, eq=False)
class Prediction:
    scales: tuple[DenseWarp, ...]
    """Coarse to fine: global matching first, then each refiner's."""
    scores: Tensor
    """(B, N, M) log dual softmax of all cells of fixed and moving at stride 8."""
    guesses: tuple[Tensor, ...]
    """For each refiner the (B, h, w, 2) warp that it started from."""
    local_scores: Tensor | None = None
    """As `scores`, of what each cell alone looks like, before the images have looked at each other; in training."""

    @property
    def finest(self) -> DenseWarp:
        return self.scales[-1]


class Objective(Protocol):
    """What a run trains, and by what."""

    @property
    def architecture(self) -> str:
        """What the weights' file names as what builds the network."""

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The network of a config from JSON, with fresh weights, on the CPU."""

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        """Scalars, the same names every time; "total" is what is minimised.

        The model's forward pass is called exactly once: with several processes, that is where gradients are averaged.

        Args:
            finest: stride of the last refinement that is trained, where there are any.
        """

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """For each pair the distances in px of moving between predicted and true positions, (N,), N = 0 allowed."""
