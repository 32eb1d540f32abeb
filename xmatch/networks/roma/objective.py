"""RoMa's training: anchors, warp and certainty at every scale."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from xmatch.errors import UsageError
from xmatch.networks.base import Prediction
from xmatch.networks.dense_objective import DenseObjective
from xmatch.networks.losses import DenseLoss, LossWeights
from xmatch.networks.pseudo_labels import Labels
from xmatch.networks.roma.losses import roma_loss, true_labels
from xmatch.networks.roma.network import MULTIPLE
from xmatch.synth.pairs import TrainingPairs


class RomaObjective(DenseObjective):
    weights = LossWeights(certainty=0.01)

    def predicted(self, model: nn.Module, batch: TrainingPairs, finest: int) -> Prediction:
        """
        Raises:
            UsageError: images of another size than the network takes.
        """
        if batch.fixed.shape[2] % MULTIPLE or batch.fixed.shape[3] % MULTIPLE:
            sides = "x".join(map(str, batch.fixed.shape[2:]))
            raise UsageError(
                f"RoMa trains on sides that are multiples of {MULTIPLE} px, not {sides}", hint="224 or 448"
            )
        return super().predicted(model, batch, finest)

    def supervised(self, prediction: Prediction, batch: TrainingPairs, weights: LossWeights) -> DenseLoss:
        shape = batch.moving.shape[2], batch.moving.shape[3]
        return roma_loss(prediction, true_labels(prediction, batch), shape, weights)

    def unsupervised(
        self, prediction: Prediction, labels: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
    ) -> DenseLoss:
        return roma_loss(prediction, labels, moving_shape, weights)
