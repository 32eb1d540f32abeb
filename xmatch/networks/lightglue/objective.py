"""The sparse matcher's training: corners, descriptors and LightGlue together, every layer by its assignment loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xmatch.networks.architecture import NetworkObjective
from xmatch.networks.lightglue.network import Corners
from xmatch.networks.truth import mutual_nearest, true_places
from xmatch.synth.pairs import TrainingPairs

MATCHED_PX, UNMATCHED_PX = 3.0, 5.0
"""Nearer is a match; further from everything than the second is none; between is neither. As LightGlue's training."""


class Sparse(NetworkObjective):
    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        fixed, moving, layers = _forward(model, batch)
        labels = assignment_truth(batch, fixed, moving)
        losses = torch.stack([assignment_loss(scores, *labels) for scores in layers])
        return {"total": losses.mean(), "last": losses[-1].detach(), "matched": labels[0].float().sum(2).mean()}

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At the matches that are each other's best and more likely than none."""
        fixed, moving, layers = _forward(model, batch)
        scores = layers[-1]
        best = mutual_nearest(-scores[:, :-1, :-1]) & (scores[:, :-1, :-1] > scores[:, :-1, -1:])
        true_xy, seen = true_places(batch, fixed.xy)
        distance = torch.cdist(true_xy, moving.xy)
        return tuple(d[b & s[:, None]] for d, b, s in zip(distance, best, seen & fixed.usable, strict=True))


def assignment_truth(batch: TrainingPairs, fixed: Corners, moving: Corners) -> tuple[Tensor, Tensor, Tensor]:
    """Which corners match (B, N, M), and which of fixed (B, N) and of moving (B, M) have no partner; bool."""
    true_xy, seen = true_places(batch, fixed.xy)
    usable = fixed.usable[:, :, None] & moving.usable[:, None]
    distance = torch.cdist(true_xy, moving.xy)
    distance = torch.where(usable & seen[:, :, None], distance, torch.inf)
    matched = mutual_nearest(distance) & (distance < MATCHED_PX)
    fixed_alone = fixed.usable & (distance.amin(2) > UNMATCHED_PX)
    moving_alone = moving.usable & (distance.amin(1) > UNMATCHED_PX)
    return matched, fixed_alone, moving_alone


def assignment_loss(scores: Tensor, matched: Tensor, fixed_alone: Tensor, moving_alone: Tensor) -> Tensor:
    """Mean negative log likelihood of matches and of points without one, half and half (LightGlue, section 3.4)."""

    def mean(values: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)

    alone = mean(scores[:, :-1, -1], fixed_alone) + mean(scores[:, -1, :-1], moving_alone)
    return -(mean(scores[:, :-1, :-1], matched) + alone / 2) / 2


def _forward(model: nn.Module, batch: TrainingPairs) -> tuple[Corners, Corners, list[Tensor]]:
    found: tuple[Corners, Corners, list[Tensor]] = model(
        batch.fixed, batch.fixed_valid, batch.moving, batch.moving_valid
    )
    return found
