"""XoFTR, written from its paper and its authors' description, under the names of the published weights.

Backbone and attention between coarse cells are LoFTR's, as kornia has them; what follows a match of cells is XoFTR's
own (`xmatch.networks.xoftr.windows`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.feature.loftr.backbone.resnet_fpn import BasicBlock
from kornia.feature.loftr.loftr_module import LocalFeatureTransformer
from kornia.feature.loftr.utils.position_encoding import PositionEncodingSine
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.xoftr.config import XoftrConfig
from xmatch.networks.xoftr.windows import FineProcess, SubpixelMatching


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Features of one image before it meets the other."""

    half: Tensor
    """(1, C, H / 2, W / 2)."""
    quarter: Tensor
    eighth: Tensor


class Backbone(nn.Module):
    """LoFTR's residual network without the way back up."""

    def __init__(self, config: XoftrConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.block_dims
        self.conv1 = nn.Conv2d(1, half, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.layer1 = nn.Sequential(BasicBlock(half, half, 1), BasicBlock(half, half, 1))
        self.layer2 = nn.Sequential(BasicBlock(half, quarter, 2), BasicBlock(quarter, quarter, 1))
        self.layer3 = nn.Sequential(BasicBlock(quarter, eighth, 2), BasicBlock(eighth, eighth, 1))
        self.layer3_outconv = nn.Conv2d(eighth, eighth, 1, bias=False)

    def forward(self, image: Tensor) -> Pyramid:
        """Of (B, 1, H, W), of mean 0 and variance 1."""
        half = self.layer1(F.relu(self.bn1(self.conv1(image))))
        quarter = self.layer2(half)
        return Pyramid(half, quarter, self.layer3_outconv(self.layer3(quarter)))


class CoarseProjection(nn.Module):
    """What cells are compared by."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.final_proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.final_proj(tokens)
        return found


class Xoftr(nn.Module):
    """The parts under their published names; `xmatch.networks.xoftr.runner` puts them to use."""

    def __init__(self, config: XoftrConfig) -> None:
        super().__init__()
        self.config = config
        dim, heads = config.block_dims[2], config.heads[2]
        self.backbone = Backbone(config)
        self.pos_encoding = PositionEncodingSine(dim, temp_bug_fix=True)
        self.loftr_coarse = LocalFeatureTransformer(
            {"d_model": dim, "nhead": heads, "layer_names": ["self", "cross"] * config.layers, "attention": "linear"}
        )
        self.coarse_matching = CoarseProjection(dim)
        self.fine_process = FineProcess(config)
        self.fine_matching = SubpixelMatching(config)

    def attend(
        self, fixed: Tensor, moving: Tensor, fixed_cells: Tensor | None, moving_cells: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Coarse features, (1, C, h, w) and (1, C, h', w'), that have looked at each other.

        Args:
            fixed_cells: (h, w) bool, which may be looked at; None: all.
            moving_cells: (h', w').
        """
        tokens = [self.pos_encoding(one).flatten(2).transpose(1, 2) for one in (fixed, moving)]
        masks = [None if cells is None else cells.flatten()[None] for cells in (fixed_cells, moving_cells)]
        here, there = self.loftr_coarse(*tokens, *masks)
        return here.transpose(1, 2).reshape(fixed.shape), there.transpose(1, 2).reshape(moving.shape)

    def compared(self, coarse: Tensor) -> Tensor:
        """(C, h, w) that cells of (1, C, h, w) are matched by."""
        found: Tensor = self.coarse_matching(coarse[0].permute(1, 2, 0))
        return found.permute(2, 0, 1)


def standardised_where(image: Tensor, valid: Tensor) -> Tensor:
    """Mean 0 and variance 1 over valid pixels, 0 elsewhere; (1, 1, H, W) both."""
    seen = image[valid]
    if len(seen) < 2:
        return torch.zeros_like(image)
    return torch.where(valid, (image - seen.mean()) / (seen.std() + 1e-6), 0.0)
