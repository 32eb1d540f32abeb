"""Tiny RoMa's training, as its authors train it: warp and certainty at both scales.

Unlike RoMa's own, a cell counts at the finer scale where that scale itself came near, and certainty learns whether the
warp is right to within a cell or so, since "corresponds, but not well" is most of what so small a network says.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from xmatch.networks.base import Prediction
from xmatch.networks.losses import DenseLoss, LossTerm, LossWeights, charbonnier, mean_where
from xmatch.networks.pseudo_labels import Labels
from xmatch.networks.roma.losses import KNEE, NEAR_IMAGE_PX, certainty_loss, error_px
from xmatch.networks.roma.objective import RomaObjective

POWER = 0.15
"""Of the generalised Charbonnier: flatter than RoMa's, for more outliers."""
NEAR_CELLS = {4: 4}
"""Stride -> cells of an image of 512 px within which the warp has to lie."""
SURE = 1e-3
"""Times the stride: normalised distance within which a warp is right."""


def tiny_roma_loss(
    prediction: Prediction, targets: Sequence[Labels], moving_shape: tuple[int, int], weights: LossWeights
) -> DenseLoss:
    """
    Args:
        targets: of both scales.
        moving_shape: (height, width) px, for reports.
    """
    terms, errors = [], []
    for found, target in zip(prediction.scales, targets, strict=True):
        distance = torch.linalg.vector_norm(found.warp - target.warp, dim=-1)
        matches, stride = target.positive, found.stride
        if stride in NEAR_CELLS:
            matches = matches & (distance.detach() < 2 / NEAR_IMAGE_PX * NEAR_CELLS[stride] * stride)
        right = matches & (distance.detach() < SURE * stride)
        terms += [
            LossTerm("regression", stride, mean_where(charbonnier(distance, KNEE * stride, POWER), matches)),
            LossTerm("certainty", stride, certainty_loss(found, right, target.chosen)),
        ]
        errors.append((stride, error_px(found, target, moving_shape)))
    return DenseLoss(tuple(terms), weights, tuple(errors))


class TinyRomaObjective(RomaObjective):
    loss = staticmethod(tiny_roma_loss)
