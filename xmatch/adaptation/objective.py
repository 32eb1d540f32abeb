"""The step of an adaptation: equation (1) on labelled batches, equation (2) on unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xmatch.adaptation.draws import Unlabelled
from xmatch.adaptation.low_rank import add_low_rank
from xmatch.adaptation.pseudo import OF_A_TEACHER, pseudo_labels, seen_at
from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.adaptation.thresholds import THRESHOLDS, Bounds, Confidence
from xmatch.networks.base import Objective, Prediction
from xmatch.networks.dense_objective import DenseObjective
from xmatch.networks.losses import LossWeights, distance_px, mean_where, truth_at
from xmatch.networks.pseudo_labels import Labels
from xmatch.synth.pairs import TrainingPairs

RIGHT_PX = 3.0
"""A pseudo-label within this of a truth that is known is right; for the report alone. The middle one of the limits
that errors are counted at."""


class FewShot:
    """An objective of `xmatch.training`, adapted.

    Args:
        base: of the network's pretraining.
        recipe: of the adaptation.
        scales: the network predicts warp and certainty at several scales; another one learns from labelled batches
            alone, and by the loss of its pretraining.
    """

    def __init__(self, base: Objective, recipe: AdaptRecipe, scales: bool = True) -> None:
        self._base, self._recipe, self._scales = base, recipe, scales
        self.confidence = Confidence()
        self.teacher: nn.Module | None = None
        """The network's moving average in evaluation mode; the schemes that have a teacher need it."""

    @property
    def architecture(self) -> str:
        return self._base.architecture

    @property
    def bounds(self) -> Bounds:
        return THRESHOLDS[self._recipe.threshold.kind](self.confidence)

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        model = self._base.build(config)
        if self._recipe.lora_rank:
            add_low_rank(model, self._recipe.lora_rank)
        return model

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        return self._base.errors(model, batch)

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        if self._recipe.batch_norm == "frozen":
            _hold_statistics(model)
        if not self._scales:
            return self._base.step(model, batch, finest=finest)
        assert isinstance(self._base, DenseObjective)  # or it would not predict scales
        prediction = self._base.predicted(model, batch, finest)
        if isinstance(batch, Unlabelled):
            return self._unlabelled(self._base, prediction, batch, finest)
        weights = LossWeights(certainty=self._recipe.lambda_sup, local=self._recipe.local)
        loss = self._base.supervised(prediction, batch, weights)
        total = loss.total
        return {"total": total, "supervised": total.detach(), "epe": loss.finest_error_px.detach()}

    def _unlabelled(
        self, base: DenseObjective, prediction: Prediction, batch: Unlabelled, finest: int
    ) -> dict[str, Tensor]:
        recipe, taught = self._recipe, None
        if recipe.pseudo in OF_A_TEACHER:
            assert self.teacher is not None  # set before the first step
            with torch.no_grad():
                taught = base.predicted(self.teacher, batch, finest)
        self._update_confidence(taught or prediction, batch)
        bounds = self.bounds
        labels = pseudo_labels(
            recipe.pseudo, prediction, taught, bounds, batch.fixed_valid, batch.moving_valid, recipe.fitted
        )
        shape = batch.moving.shape[2], batch.moving.shape[3]
        total = base.unsupervised(prediction, labels, shape, LossWeights(certainty=recipe.lambda_ssl)).total
        found = {"total": total, "unsupervised": total.detach(), "tau": total.new_tensor(bounds.high)}
        return found | _label_shares(labels[-1], prediction.finest.stride, batch)

    @torch.no_grad()
    def _update_confidence(self, prediction: Prediction, batch: TrainingPairs) -> None:
        """Equation (3), over the finest cells that show something."""
        finest = prediction.finest
        probability = finest.certainty.detach().sigmoid()[seen_at(batch.fixed_valid, finest.stride)]
        if len(probability):
            means = float(probability.mean()), float(torch.maximum(probability, 1 - probability).mean())
            self.confidence = self.confidence.after(*means, self._recipe.threshold.momentum)

    def state_dict(self) -> dict[str, Any]:
        return {"matching": self.confidence.matching, "sure": self.confidence.sure}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.confidence = Confidence(float(state["matching"]), float(state["sure"]))


def _hold_statistics(model: nn.Module) -> None:
    """Normalisations as in evaluation; their scales and shifts are trained all the same."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@torch.no_grad()
def _label_shares(labels: Labels, stride: int, batch: Unlabelled) -> dict[str, Tensor]:
    """Share of the finest cells that are positives, and where the truth is known, how many of them are right."""
    seen = seen_at(batch.fixed_valid, stride)
    found = {"positive_share": mean_where(labels.positive.float(), seen)}
    truth = truth_at(batch.warp, batch.covisible, (batch.moving.shape[2], batch.moving.shape[3]), stride)
    judged = labels.positive & truth.whole
    if bool(judged.any()):
        right = (distance_px(labels.warp, truth) < RIGHT_PX).float()
        found["positive_right"] = mean_where(right, judged)
    return found
