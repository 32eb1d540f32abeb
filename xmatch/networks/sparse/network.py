"""XFeat's keypoints and LightGlue between them, trained together.

Both are kornia's. Tensors have the names of the published file, so that it is a start and trained weights run wherever
that one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.feature import XFeatModel
from torch import Tensor, nn

from xmatch.networks.keypoints import BORDER_PX
from xmatch.networks.lightglue.network import Glue
from xmatch.networks.sparse.config import SparseConfig
from xmatch.networks.xfeat.detector import detect


@dataclass(frozen=True, eq=False)
class Points:
    """Keypoints of a batch, strongest first."""

    xy: Tensor
    """(B, N, 2) px, corner-counted."""
    usable: Tensor
    """(B, N) bool: false for those that stand in where an image has too few."""


@dataclass(frozen=True, eq=False)
class SparsePrediction:
    fixed: Points
    moving: Points
    layers: list[Tensor]
    """(B, N + 1, M + 1) log assignment after each layer."""
    moving_logits: Tensor
    """(B, 65, H / 8, W / 8) of moving: where in each cell its keypoint lies; the last: nowhere."""


class SparseMatcher(nn.Module):
    """Keypoints, descriptors, assignment. XFeat's normalisation layers keep the statistics that they came with: batches
    of all sensors would blur them."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        self.points = config.points
        self.extractor = nn.ModuleDict({"model": nn.ModuleDict({"net": XFeatModel()})})
        self.matcher = Glue(config.glue)
        self.matcher.token_confidence.requires_grad_(False)  # only decides where to stop early
        for unused in (self.network.heatmap_head, self.network.fine_matcher):
            unused.requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        """XFeat's."""
        found: nn.Module = self.extractor["model"]["net"]  # type: ignore[index]
        return found

    def train(self, mode: bool = True) -> SparseMatcher:
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor) -> SparsePrediction:
        """Images (B, 1, H, W), sides multiples of 32, and where they are valid, (B, 1, H, W) bool."""
        both, valid = torch.cat([fixed, moving]), torch.cat([fixed_valid, moving_valid])
        mean = (both * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp(min=1)
        both = torch.where(valid, both, mean)
        side = 2 * BORDER_PX + 1
        usable = -nn.functional.max_pool2d(-valid.float(), side, 1, BORDER_PX) > 0
        found, logits = detect(self.network, both, usable, self.points)
        here, there = (Points(xy + 0.5, s > 0) for xy, s in zip(found.xy.chunk(2), found.score.chunk(2), strict=True))
        sides = both.new_tensor([both.shape[-1], both.shape[-2]])
        places = ((found.xy - sides / 2) / (sides.max() / 2)).chunk(2)
        layers = self.matcher.assignments(*found.descriptors.chunk(2), *places)
        return SparsePrediction(here, there, layers, logits.chunk(2)[1])
