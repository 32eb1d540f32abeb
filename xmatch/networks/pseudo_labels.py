"""What a dense network is taught by its own answers: labels of every scale, and equation (2) of the few-shot paper
("Towards few-shot adaptation for dense cross-modality image matching"), by the parts that pretraining has already.

As in RoMa, the regression of the coarsest scale is a classification of cells; that of the others is the generalised
Charbonnier of the distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from xmatch.networks.base import Prediction
from xmatch.networks.losses import (
    REACH_CELLS,
    DenseLoss,
    LossTerm,
    LossWeights,
    Truth,
    charbonnier,
    coarse_loss,
    distance_px,
    mean_where,
)


@dataclass(frozen=True, eq=False)
class Labels:
    """What one scale is taught."""

    warp: Tensor
    """(B, h, w, 2) normalised."""
    positive: Tensor
    """(B, h, w) bool: taken to match; where the warp is taught."""
    chosen: Tensor
    """(B, h, w) bool: taken to match or taken not to; where certainty is taught."""


def pseudo_loss(
    prediction: Prediction, labels: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
) -> DenseLoss:
    """Equation (2) summed over the scales; those without any label add nothing.

    Args:
        labels: of every scale, as in `prediction.scales`.
        moving_shape: (height, width) px.
    """
    side = prediction.finest.warp.new_tensor([moving_shape[1], moving_shape[0]])
    first, *refined = prediction.scales
    cells = (moving_shape[0] // first.stride, moving_shape[1] // first.stride)
    terms = [
        LossTerm("regression", None, coarse_loss(prediction.scores, _truth(labels[0], side), cells)),
        LossTerm("certainty", None, certainty_loss(first.certainty, labels[0])),
    ]
    for found, guess, target in zip(refined, prediction.guesses, labels[1:], strict=True):
        truth = _truth(target, side)
        # As with true labels: a refiner cannot be taught what lies beyond its window.
        reachable = distance_px(guess, truth) < REACH_CELLS * found.stride
        distance = distance_px(found.warp, truth) / found.stride
        regression = mean_where(charbonnier(distance), target.positive & reachable)
        certainty = certainty_loss(found.certainty, target)
        terms += [LossTerm("regression", found.stride, regression), LossTerm("certainty", found.stride, certainty)]
    return DenseLoss(tuple(terms), weights)


def certainty_loss(logits: Tensor, labels: Labels) -> Tensor:
    """Mean cross-entropy of (B, h, w) logits with the indicator of positives, over the chosen cells."""
    losses = F.binary_cross_entropy_with_logits(logits, labels.positive.to(logits.dtype), reduction="none")
    return mean_where(losses, labels.chosen)


def _truth(labels: Labels, side_px: Tensor) -> Truth:
    return Truth(labels.warp, labels.positive.to(labels.warp.dtype), side_px)
