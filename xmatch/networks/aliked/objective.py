"""ALIKED's training on: what describes keypoints, and nothing else."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from xmatch.networks.aliked.network import DescribedPair
from xmatch.networks.keypoint_objective import NEVER, KeypointObjective, Places, description_loss
from xmatch.networks.lightglue.assignment import UNMATCHED_PX
from xmatch.networks.truth import mutual_nearest, true_places
from xmatch.synth.pairs import TrainingPairs


class Descriptors(KeypointObjective):
    """Descriptors of fixed's keypoints are to be nearest to those of their true places, among these and all of moving's
    own keypoints: what mutual nearest descriptors choose from.

    The keypoints of one sensor are often none of the other, so true places are compared whether moving has keypoints
    there or not.
    """

    def losses(self, model: nn.Module, batch: TrainingPairs) -> dict[str, Tensor]:
        found = _forward(model, batch, partial(true_places, batch))
        assert found.true_descriptors is not None
        true_xy, seen = true_places(batch, found.fixed.xy)
        wanted = seen & found.fixed.usable
        apart = (torch.cdist(true_xy, found.moving.xy) > UNMATCHED_PX) & found.moving.usable[:, None]
        loss = description_loss(
            found.fixed_descriptors, found.true_descriptors, wanted, found.moving_descriptors, apart
        )
        return {"total": loss, "seen": wanted.float().sum(1).mean()}

    def matched(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, Tensor, Tensor]:
        """See `KeypointObjective.matched`; matches are each other's nearest, as `MutualNearest` has them."""
        found = _forward(model, batch)
        likeness = found.fixed_descriptors @ found.moving_descriptors.transpose(1, 2)
        usable = found.fixed.usable[:, :, None] & found.moving.usable[:, None]
        matched = mutual_nearest(-torch.where(usable, likeness, NEVER)) & usable
        true_xy, seen = true_places(batch, found.fixed.xy)
        return matched, torch.cdist(true_xy, found.moving.xy), seen & found.fixed.usable


def _forward(model: nn.Module, batch: TrainingPairs, places: Places | None = None) -> DescribedPair:
    found: DescribedPair = model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, places)
    return found
