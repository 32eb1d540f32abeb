"""Poses of many pairs on a device, and which of them are apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from xmatch.coords import corners
from xmatch.matchers.base import Proposal
from xmatch.ops.frames import Sizes, uploaded


@dataclass(frozen=True, eq=False)
class Poses:
    """K `Proposal`s of each of B pairs."""

    matrices: Tensor
    """(B, K, 3, 3) float64."""
    scores: Tensor
    """(B, K) float32."""
    exist: Tensor
    """(B, K) bool: fewer than K may have been found."""

    def at(self, index: Tensor) -> Poses:
        """Those at places (B, M) of each pair."""
        rows = torch.arange(len(index), device=index.device)[:, None]
        return Poses(self.matrices[rows, index], self.scores[rows, index], self.exist[rows, index])

    def by_score(self) -> Poses:
        """Best first, those that do not exist last."""
        scores = torch.where(self.exist, self.scores, -torch.inf)
        return self.at(scores.argsort(dim=1, descending=True, stable=True))

    def proposals(self) -> list[list[Proposal]]:
        """On the host."""
        matrices, scores, exist = (x.cpu().numpy() for x in (self.matrices, self.scores.double(), self.exist))
        return [
            [Proposal(matrix, float(score)) for matrix, score, there in zip(*one, strict=True) if there]
            for one in zip(matrices, scores, exist, strict=True)
        ]


def distinct(poses: Poses, sizes: Sizes, *, limit: int, apart: float) -> Poses:
    """As `fourier.distinct`; sizes (B, 2) are those of moving."""
    device = poses.matrices.device
    outline = uploaded(np.stack([corners(width, height) for height, width in sizes]), device)
    landed = outline[:, None] @ poses.matrices[..., :2, :2].mT + poses.matrices[..., None, :2, 2]
    side = uploaded(np.sqrt(sizes.prod(axis=1)), device)[:, None] * scale_of(poses.matrices)
    distance = torch.linalg.vector_norm(landed[:, :, None] - landed[:, None], dim=-1).mean(-1)
    # near[b, i, j]: j is no more than another guess of i.
    near = ~(distance > apart * side[:, None])
    rows = torch.arange(len(sizes), device=device)
    left, chosen, found = poses.exist, [], []
    for _ in range(min(limit, poses.scores.shape[1])):
        first = left.to(torch.uint8).argmax(1)
        found.append(left.any(1))
        chosen.append(first)
        left = left & ~near[rows, first]
    kept = poses.at(torch.stack(chosen, 1))
    return replace(kept, exist=torch.stack(found, 1))


def scale_of(matrices: Tensor) -> Tensor:
    """(...,) as `geometry.matrices.scale_of` of (..., 3, 3)."""
    a, b, c, d = (matrices[..., i, j] for i in (0, 1) for j in (0, 1))
    return (a * d - b * c).abs().sqrt()
