"""What LightGlue is taught: which keypoints are each other's, and which have no partner (Lindenberger et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.networks.truth import mutual_nearest

MATCHED_PX, UNMATCHED_PX = 3.0, 5.0
"""Nearer is a match; further from everything than the second is none; between is neither. As LightGlue's training."""


@dataclass(frozen=True, eq=False)
class Points:
    """Keypoints of a batch, strongest first."""

    xy: Tensor
    """(B, N, 2) px, corner-counted."""
    usable: Tensor
    """(B, N) bool: false for those that stand in where an image has too few."""


def assignment_truth(fixed: Points, moving: Points, true_xy: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which keypoints match (B, N, M), and which of fixed (B, N) and of moving (B, M) have no partner; bool.

    Args:
        true_xy: (B, N, 2) where the keypoints of fixed lie in moving, px.
        seen: (B, N) bool, whether they do.
    """
    usable = fixed.usable[:, :, None] & moving.usable[:, None]
    distance = torch.cdist(true_xy, moving.xy)
    distance = torch.where(usable & seen[:, :, None], distance, torch.inf)
    matched = mutual_nearest(distance) & (distance < MATCHED_PX)
    fixed_alone = fixed.usable & (distance.amin(2) > UNMATCHED_PX)
    moving_alone = moving.usable & (distance.amin(1) > UNMATCHED_PX)
    return matched, fixed_alone, moving_alone


def assignment_loss(scores: Tensor, matched: Tensor, fixed_alone: Tensor, moving_alone: Tensor) -> Tensor:
    """Mean negative log likelihood of matches and of points without one, half and half (LightGlue, section 3.4)."""
    alone = mean_where(scores[:, :-1, -1], fixed_alone) + mean_where(scores[:, -1, :-1], moving_alone)
    return -(mean_where(scores[:, :-1, :-1], matched) + alone / 2) / 2


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values, 0 without any."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)
