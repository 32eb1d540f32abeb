"""The dense matcher's training: warp and certainty at every scale."""

from __future__ import annotations

from collections.abc import Sequence

from xmatch.networks.base import Prediction
from xmatch.networks.dense_objective import DenseObjective
from xmatch.networks.losses import DenseLoss, LossWeights, dense_loss
from xmatch.networks.pseudo_labels import Labels, pseudo_loss
from xmatch.synth.pairs import TrainingPairs


class Dense(DenseObjective):
    def supervised(self, prediction: Prediction, batch: TrainingPairs, weights: LossWeights) -> DenseLoss:
        return dense_loss(prediction, batch, weights)

    def unsupervised(
        self, prediction: Prediction, labels: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
    ) -> DenseLoss:
        return pseudo_loss(prediction, labels, moving_shape, weights)
