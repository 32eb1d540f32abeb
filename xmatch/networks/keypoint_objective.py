"""What objectives of networks that find keypoints and match them share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.architecture import NetworkObjective, mean_share_within
from xmatch.networks.lightglue.assignment import mean_where
from xmatch.synth.pairs import TrainingPairs

Places = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Px of fixed (B, N, 2) -> where they truly lie in moving, px, and whether both images show them, (B, N); positions are
corner-counted."""
TEMPERATURE = 0.05
"""Of cosines of descriptors. Not tuned."""
NEVER = -1e4
"""Similarity of what cannot be chosen; finite, so that gradients are."""


class KeypointObjective(NetworkObjective):
    """Judged by the matches of keypoints that it finds."""

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        """In single precision, whatever is asked for: bfloat16 finds other keypoints, and its gradient points
        elsewhere (docs/lab-log.md)."""
        with torch.autocast(batch.fixed.device.type, enabled=False):
            return self.losses(model, batch)

    def losses(self, model: nn.Module, batch: TrainingPairs) -> dict[str, Tensor]:
        """What `step` gives."""
        raise NotImplementedError

    def matched(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, Tensor, Tensor]:
        """Matches (B, N, M), how far moving's keypoints are from fixed's true places (B, N, M), px, and which keypoints
        of fixed moving shows (B, N)."""
        raise NotImplementedError

    def scores(self, model: nn.Module, batch: TrainingPairs) -> list[float]:
        """As ever, but of all keypoints of fixed that moving shows: one without a match is a miss."""
        matched, distance, wanted = self.matched(model, batch)
        error = torch.where(matched, distance, torch.inf).amin(2)
        return [mean_share_within(e[w]) for e, w in zip(error, wanted, strict=True)]

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """At the matches."""
        matched, distance, wanted = self.matched(model, batch)
        return tuple(d[m & w[:, None]] for d, m, w in zip(distance, matched, wanted, strict=True))


def description_loss(
    first: Tensor, second: Tensor, wanted: Tensor, others: Tensor | None = None, apart: Tensor | None = None
) -> Tensor:
    """Mean cross entropy of descriptors of the same places among those of all places, either way (XFeat's dual softmax,
    Potje et al. 2024, section 3.3).

    Args:
        first, second: (B, N, D) of length 1, row by row of the same place.
        wanted: (B, N) bool: both images show it.
        others: (B, M, D), further places of the second image that the first one's must not be taken for.
        apart: (B, N, M) bool: which of these are surely other places.
    """
    target = torch.arange(first.shape[1], device=first.device).expand(len(first), -1)
    similarity = first.float() @ second.float().transpose(1, 2) / TEMPERATURE
    there = torch.where(wanted[:, None], similarity, NEVER)
    back = torch.where(wanted[:, None], similarity.transpose(1, 2), NEVER)
    if others is not None and apart is not None:
        strangers = first.float() @ others.float().transpose(1, 2) / TEMPERATURE
        there = torch.cat([there, torch.where(apart, strangers, NEVER)], 2)
    ways = [F.cross_entropy(s.transpose(1, 2), target, reduction="none") for s in (there, back)]
    return torch.stack([mean_where(way, wanted) for way in ways]).mean()
