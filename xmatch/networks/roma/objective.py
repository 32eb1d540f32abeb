"""RoMa's training: anchors, warp and certainty at every scale."""

from __future__ import annotations

from collections.abc import Sequence

from xmatch.networks.base import Prediction
from xmatch.networks.dense_objective import DenseObjective
from xmatch.networks.losses import DenseLoss, LossWeights
from xmatch.networks.pseudo_labels import Labels
from xmatch.networks.roma.losses import roma_loss, true_labels
from xmatch.synth.pairs import TrainingPairs


class RomaObjective(DenseObjective):
    weights = LossWeights(certainty=0.01)
    loss = staticmethod(roma_loss)

    def supervised(self, prediction: Prediction, batch: TrainingPairs, weights: LossWeights) -> DenseLoss:
        shape = batch.moving.shape[2], batch.moving.shape[3]
        return self.loss(prediction, true_labels(prediction, batch), shape, weights)

    def unsupervised(
        self, prediction: Prediction, labels: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
    ) -> DenseLoss:
        return self.loss(prediction, labels, moving_shape, weights)
