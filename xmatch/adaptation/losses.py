"""What adaptation minimises: equations (1), (2) and (5) of the paper, by the parts that pretraining has already.

As in RoMa, the regression of the coarsest scale is a classification of cells; that of the others is the generalised
Charbonnier of the distance.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from xmatch.adaptation.pseudo import Labels
from xmatch.networks.base import Prediction
from xmatch.networks.losses import (
    REACH_CELLS,
    DenseLoss,
    LossTerm,
    LossWeights,
    Truth,
    charbonnier,
    coarse_loss,
    dense_loss,
    distance_px,
    mean_where,
)
from xmatch.synth.pairs import TrainingPairs


def supervised_loss(prediction: Prediction, batch: TrainingPairs, lambda_sup: float, local: float) -> DenseLoss:
    """Equation (1) summed over the scales.

    Args:
        lambda_sup: weight of certainty's cross-entropy.
        local: weight of the classification by each cell's own looks, which pretraining has and the paper has not.
    """
    return dense_loss(prediction, batch, LossWeights(certainty=lambda_sup, local=local))


def unsupervised_loss(
    prediction: Prediction, labels: Sequence[Labels], moving_shape: tuple[int, int], lambda_ssl: float
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
    return DenseLoss(tuple(terms), LossWeights(certainty=lambda_ssl))


def certainty_loss(logits: Tensor, labels: Labels) -> Tensor:
    """Mean cross-entropy of (B, h, w) logits with the indicator of positives, over the chosen cells."""
    losses = F.binary_cross_entropy_with_logits(logits, labels.positive.to(logits.dtype), reduction="none")
    return mean_where(losses, labels.chosen)


def _truth(labels: Labels, side_px: Tensor) -> Truth:
    return Truth(labels.warp, labels.positive.to(labels.warp.dtype), side_px)
