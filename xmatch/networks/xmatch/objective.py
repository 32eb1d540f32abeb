"""The dense matcher's training: warp and certainty at every scale."""

from __future__ import annotations

from torch import Tensor, nn

from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.base import Prediction
from xmatch.networks.losses import dense_loss, distance_px, truth_at
from xmatch.synth.pairs import TrainingPairs


class Dense(NetworkObjective):
    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        return dense_loss(_forward(model, batch, finest), batch).named()

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At every cell of the finest scale that both images show whole."""
        found = _forward(model, batch).finest
        shape = batch.moving.shape[2], batch.moving.shape[3]
        truth = truth_at(batch.warp, batch.covisible, shape, found.stride)
        distance = distance_px(found.warp, truth)
        return tuple(d[whole] for d, whole in zip(distance, truth.whole, strict=True))


def _forward(model: nn.Module, batch: TrainingPairs, finest: int = 1) -> Prediction:
    found: Prediction = model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, finest=finest)
    return found
