"""What RoMa is trained by (Edstedt et al. 2024): anchors are classified, every scale regresses and says how sure it is.

Unlike in `xmatch.networks.losses`, distances are in normalised positions, and a cell counts at a finer scale where the
scale before came near enough; certainty learns that, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.dinov2.config import PATCH_PX
from xmatch.networks.losses import DenseLoss, LossTerm, LossWeights, charbonnier, mean_where, truth_at
from xmatch.networks.pseudo_labels import Labels
from xmatch.synth.pairs import TrainingPairs

KNEE, POWER = 1e-4, 0.5
"""Of the generalised Charbonnier, the first for stride 1 and growing with it."""
NEAR_CELLS = {8: 8, 4: 8, 2: 4, 1: 4}
"""Stride -> cells of an image of 512 px within which the scale before has to come."""
NEAR_IMAGE_PX = 512


def true_labels(prediction: Prediction, batch: TrainingPairs) -> tuple[Labels, ...]:
    """Of each scale, from exact truth; certainty is taught everywhere."""
    shape = batch.moving.shape[2], batch.moving.shape[3]
    truths = [truth_at(batch.warp, batch.covisible, shape, found.stride) for found in prediction.scales]
    return tuple(Labels(truth.warp, truth.whole, torch.ones_like(truth.whole)) for truth in truths)


def roma_loss(
    prediction: Prediction, targets: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
) -> DenseLoss:
    """
    Args:
        prediction: whose `scores` are the logits of anchors.
        targets: of every scale, as in `prediction.scales`.
        moving_shape: (height, width) px, for reports.
    """
    first, *refined = prediction.scales
    terms = [
        LossTerm("coarse", None, anchor_loss(prediction.scores, targets[0])),
        LossTerm("certainty", None, certainty_loss(first, targets[0].positive, targets[0].chosen)),
    ]
    before: Tensor | None = None
    for found, target in zip(refined, targets[1:], strict=True):
        distance = torch.linalg.vector_norm(found.warp - target.warp, dim=-1)
        matches, stride = target.positive, nominal(found.stride)
        if before is not None and stride in NEAR_CELLS:
            reached = F.interpolate(before[:, None], distance.shape[1:], mode="nearest-exact")[:, 0]
            matches = matches & (reached < 2 / NEAR_IMAGE_PX * NEAR_CELLS[stride] * stride)
        regression = mean_where(charbonnier(distance, KNEE * stride, POWER), matches)
        certainty = certainty_loss(found, matches, target.chosen)
        terms += [LossTerm("regression", found.stride, regression), LossTerm("certainty", found.stride, certainty)]
        before = distance.detach()
    ends = (None, first, targets[0]), (prediction.finest.stride, prediction.finest, targets[-1])
    errors = tuple((stride, error_px(found, target, moving_shape)) for stride, found, target in ends)
    return DenseLoss(tuple(terms), weights, errors)


@torch.no_grad()
def error_px(found: DenseWarp, target: Labels, moving_shape: tuple[int, int]) -> Tensor:
    """Mean distance of the cells that match, px of moving."""
    half = found.warp.new_tensor([moving_shape[1], moving_shape[0]]) / 2
    return mean_where(torch.linalg.vector_norm((found.warp - target.warp) * half, dim=-1), target.positive)


def nominal(stride: int) -> int:
    """The stride that a scale is called by: cells of the image encoder are 14 px, and count as 16."""
    return 16 if stride == PATCH_PX else stride


def anchor_loss(logits: Tensor, target: Labels) -> Tensor:
    """Mean cross-entropy of (B, h, w, anchors^2) logits with the anchor nearest to the true place."""
    side = round(logits.shape[-1] ** 0.5)
    column, row = ((target.warp + 1) / 2 * side).long().clamp(0, side - 1).unbind(-1)
    losses = F.cross_entropy(logits.flatten(0, 2), (row * side + column).flatten(), reduction="none")
    return mean_where(losses.view(target.positive.shape), target.positive)


def certainty_loss(found: DenseWarp, matches: Tensor, judged: Tensor) -> Tensor:
    """Mean cross-entropy with (B, h, w) `matches`, over the cells that are `judged`."""
    losses = F.binary_cross_entropy_with_logits(found.certainty, matches.to(found.certainty.dtype), reduction="none")
    return mean_where(losses, judged)
