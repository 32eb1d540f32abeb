"""The sparse matcher's training: descriptors and LightGlue together, every layer by its assignment loss."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.architecture import NetworkObjective, mean_share_within
from xmatch.networks.lightglue.assignment import assignment_loss, assignment_truth, mean_where
from xmatch.networks.sparse.network import Places, SparsePrediction
from xmatch.networks.truth import mutual_nearest, true_places
from xmatch.synth.pairs import TrainingPairs

DESCRIPTION = 1.0
"""Weight of descriptors beside the assignment. Not tuned."""
TEMPERATURE = 0.05
"""Of cosines of descriptors. Not tuned."""
NEVER = -1e4
"""Similarity of what cannot be chosen; finite, so that gradients are."""


class Sparse(NetworkObjective):
    """LightGlue's assignment loss, and descriptors compared at true places.

    The keypoints of one sensor are often none of the other. Where they do not repeat, neither descriptors nor LightGlue
    would learn what is alike; so some true places of fixed's keypoints are among moving's (`GUIDED`).
    """

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        # Single precision, whatever is asked for: bfloat16 finds other keypoints, and its gradient points elsewhere.
        with torch.autocast(batch.fixed.device.type, enabled=False):
            return self._step(model, batch)

    @staticmethod
    def _step(model: nn.Module, batch: TrainingPairs) -> dict[str, Tensor]:
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

    def scores(self, model: nn.Module, batch: TrainingPairs) -> list[float]:
        """As ever, but of all keypoints of fixed that moving shows: one without a match is a miss."""
        matched, distance, wanted = self._matched(model, batch)
        error = torch.where(matched, distance, torch.inf).amin(2)
        return [mean_share_within(e[w]) for e, w in zip(error, wanted, strict=True)]

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At the matches that are each other's best and more likely than none."""
        matched, distance, wanted = self._matched(model, batch)
        return tuple(d[m & w[:, None]] for d, m, w in zip(distance, matched, wanted, strict=True))

    @staticmethod
    def _matched(model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, Tensor, Tensor]:
        """Matches (B, N, M), how far moving's keypoints are from fixed's true places (B, N, M), px, and which keypoints
        of fixed moving shows (B, N)."""
        found = _forward(model, batch)
        scores = found.layers[-1]
        matched = mutual_nearest(-scores[:, :-1, :-1]) & (scores[:, :-1, :-1] > scores[:, :-1, -1:])
        true_xy, seen = true_places(batch, found.fixed.xy)
        return matched, torch.cdist(true_xy, found.moving.xy), seen & found.fixed.usable


def description_loss(first: Tensor, second: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross entropy of descriptors of the same places among those of all places, either way (XFeat's dual softmax,
    Potje et al. 2024, section 3.3).

    Args:
        first, second: (B, N, D) of length 1, row by row of the same place.
        wanted: (B, N) bool: both images show it.
    """
    similarity = first.float() @ second.float().transpose(1, 2) / TEMPERATURE
    target = torch.arange(first.shape[1], device=first.device).expand(len(first), -1)
    there = torch.where(wanted[:, None], similarity, NEVER)
    back = torch.where(wanted[:, None], similarity.transpose(1, 2), NEVER)
    ways = [F.cross_entropy(s.transpose(1, 2), target, reduction="none") for s in (there, back)]
    return torch.stack([mean_where(way, wanted) for way in ways]).mean()


def _forward(model: nn.Module, batch: TrainingPairs, places: Places | None = None) -> SparsePrediction:
    found: SparsePrediction = model(batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid, places)
    return found
