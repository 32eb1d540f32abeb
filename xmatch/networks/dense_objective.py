"""Training of networks that predict warp and certainty at several scales."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.base import Prediction
from xmatch.networks.losses import DenseLoss, LossWeights, distance_px, truth_at
from xmatch.networks.pseudo_labels import Labels
from xmatch.synth.pairs import TrainingPairs


def predicted(model: nn.Module, batch: TrainingPairs, finest: int) -> Prediction:
    """All scales down to stride `finest`, with a gradient where there is one."""
    found: Prediction = model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, finest=finest)
    return found


class DenseObjective(NetworkObjective):
    weights = LossWeights()
    """Of pretraining."""

    def predicted(self, model: nn.Module, batch: TrainingPairs, finest: int) -> Prediction:
        """See `predicted`."""
        return predicted(model, batch, finest)

    def supervised(self, prediction: Prediction, batch: TrainingPairs, weights: LossWeights) -> DenseLoss:
        """Against exact truth."""
        raise NotImplementedError

    def unsupervised(
        self, prediction: Prediction, labels: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
    ) -> DenseLoss:
        """Against pseudo-labels of every scale, in the order of `prediction.scales`.

        Args:
            moving_shape: (height, width) px.
        """
        raise NotImplementedError

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        return self.supervised(self.predicted(model, batch, finest), batch, self.weights).named()

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At every cell of the finest scale that both images show whole."""
        found = self.predicted(model, batch, 1).finest
        shape = batch.moving.shape[2], batch.moving.shape[3]
        truth = truth_at(batch.warp, batch.covisible, shape, found.stride)
        distance = distance_px(found.warp, truth)
        return tuple(d[whole] for d, whole in zip(distance, truth.whole, strict=True))
