"""XFeat's keypoints and LightGlue between them, trained together.

Both are kornia's. Tensors have the names of the published file, so that it is a start and trained weights run wherever
that one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.feature import XFeatModel
from torch import Tensor, nn

from xmatch.networks.grids import numbers
from xmatch.networks.keypoint_objective import Places
from xmatch.networks.keypoints import BORDER_PX
from xmatch.networks.lightglue.assignment import Points
from xmatch.networks.lightglue.network import Glue
from xmatch.networks.sparse.config import SparseConfig
from xmatch.networks.xfeat.detector import Dense, detect

GUIDED = 0.5
"""In training, the share of fixed's keypoints whose true places moving has keypoints at, found or not. Not tuned."""
FREE_PX = 3.0
"""A keypoint that is given lies no nearer than this to one that was found."""


@dataclass(frozen=True, eq=False)
class SparsePrediction:
    fixed: Points
    moving: Points
    layers: list[Tensor]
    """(B, N + 1, M + 1) log assignment after each layer."""
    fixed_descriptors: Tensor
    """(B, N, 64) of length 1."""
    moving_dense: Dense
    """What keypoints of moving were described by."""


class SparseMatcher(nn.Module):
    """Keypoints, descriptors, assignment. XFeat's normalisation layers keep the statistics that they came with: batches
    of all sensors would blur them."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        self.points = config.points
        self.extractor = nn.ModuleDict({"model": nn.ModuleDict({"net": XFeatModel()})})
        self.matcher = Glue(config.glue)
        self.matcher.token_confidence.requires_grad_(False)  # only decides where to stop early
        # Where keypoints lie is left as published: taught by where keypoints of the other image are, the px of a cell
        # become one and the same (docs/lab-log.md).
        for kept in (self.network.keypoint_head, self.network.heatmap_head, self.network.fine_matcher):
            kept.requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        """XFeat's."""
        found: nn.Module = self.extractor["model"]["net"]  # type: ignore[index]
        return found

    def train(self, mode: bool = True) -> SparseMatcher:
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor, places: Places | None = None
    ) -> SparsePrediction:
        """Images (B, 1, H, W), sides multiples of 32, and where they are valid, (B, 1, H, W) bool.

        Args:
            places: the truth; the weakest keypoints of moving then make room for true places of fixed's.
        """
        both, valid = torch.cat([fixed, moving]), torch.cat([fixed_valid, moving_valid])
        mean = (both * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp(min=1)
        both = torch.where(valid, both, mean)
        side = 2 * BORDER_PX + 1
        usable = -nn.functional.max_pool2d(-valid.float(), side, 1, BORDER_PX) > 0
        found, dense = detect(self.network, both, usable, self.points)
        moving_dense = Dense(dense.features.chunk(2)[1], dense.size)
        here, there = (Points(xy + 0.5, s > 0) for xy, s in zip(found.xy.chunk(2), found.score.chunk(2), strict=True))
        first, second = found.descriptors.chunk(2)
        if places is not None:
            there = guided_points(here, there, places, round(GUIDED * here.xy.shape[1]))
            second = moving_dense.described(there.xy - 0.5)
        sides = numbers([both.shape[-1], both.shape[-2]], both)
        a, b = ((points.xy - 0.5 - sides / 2) / (sides.max() / 2) for points in (here, there))
        layers = self.matcher.assignments(first, second, a, b)
        return SparsePrediction(here, there, layers, first, moving_dense)


@torch.no_grad()
def guided_points(fixed: Points, moving: Points, places: Places, count: int) -> Points:
    """Moving's keypoints, the weakest `count` of them replaced by the true places of as many of fixed's, to the px that
    holds them: of every rank, and only where none of the stronger ones is already."""
    kept, weak = moving.xy[:, :-count], moving.xy[:, -count:]
    chosen = torch.linspace(0, fixed.xy.shape[1] - 1, count, device=fixed.xy.device).round().long()
    true_xy, seen = places(fixed.xy[:, chosen])
    free = torch.cdist(true_xy, kept).amin(2) > FREE_PX
    new = seen & free & fixed.usable[:, chosen]
    xy = torch.cat([kept, torch.where(new[..., None], true_xy.floor() + 0.5, weak)], 1)
    return Points(xy, torch.cat([moving.usable[:, :-count], new | moving.usable[:, -count:]], 1))
