"""The sparse matcher's training: descriptors and LightGlue together, every layer by its assignment loss."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from xmatch.networks.keypoint_objective import KeypointObjective, Places, description_loss
from xmatch.networks.lightglue.assignment import assignment_loss, assignment_truth
from xmatch.networks.sparse.network import SparsePrediction
from xmatch.networks.truth import mutual_nearest, true_places
from xmatch.synth.pairs import TrainingPairs

DESCRIPTION = 1.0
"""Weight of descriptors beside the assignment. Not tuned."""


class Sparse(KeypointObjective):
    """LightGlue's assignment loss, and descriptors compared at true places.

    The keypoints of one sensor are often none of the other. Where they do not repeat, neither descriptors nor LightGlue
    would learn what is alike; so some true places of fixed's keypoints are among moving's (`GUIDED`).
    """

    def losses(self, model: nn.Module, batch: TrainingPairs) -> dict[str, Tensor]:
        found = _forward(model, batch, partial(true_places, batch))
        true_xy, seen = true_places(batch, found.fixed.xy)
        labels = assignment_truth(found.fixed, found.moving, true_xy, seen)
        losses = torch.stack([assignment_loss(scores, *labels) for scores in found.layers])
        wanted = seen & found.fixed.usable
        alike = description_loss(found.fixed_descriptors, found.moving_dense.described(true_xy - 0.5), wanted)
        return {
            "total": losses.mean() + DESCRIPTION * alike,
            "last": losses[-1].detach(),
            "description": alike.detach(),
            "matched": labels[0].float().sum(2).mean(),
        }

    def matched(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, Tensor, Tensor]:
        """See `KeypointObjective.matched`; matches are each other's best and more likely than none."""
        found = _forward(model, batch)
        scores = found.layers[-1]
        matched = mutual_nearest(-scores[:, :-1, :-1]) & (scores[:, :-1, :-1] > scores[:, :-1, -1:])
        true_xy, seen = true_places(batch, found.fixed.xy)
        return matched, torch.cdist(true_xy, found.moving.xy), seen & found.fixed.usable


def _forward(model: nn.Module, batch: TrainingPairs, places: Places | None = None) -> SparsePrediction:
    found: SparsePrediction = model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, places)
    return found
