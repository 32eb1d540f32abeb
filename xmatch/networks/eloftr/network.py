"""Efficient LoFTR, written from its paper and its authors' description, under the names of the published weights.

Three parts: RepVGG blocks down to stride 8 (Ding et al. 2021), attention within and between the images on every fourth
cell, and features at every pixel, from which matches are refined (`xmatch.networks.eloftr.refinement`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.eloftr.config import EloftrConfig

AGGREGATED = 4
"""Cells a side that are one token of attention."""
MULTIPLE = 32
"""Px that sides are multiples of: one token."""
TRAINED_PX = 832
"""Longer side of the images that published weights were trained on; positions are scaled to it."""


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Features of one image before it meets the other."""

    half: Tensor
    """(1, C, H / 2, W / 2)."""
    quarter: Tensor
    eighth: Tensor


class RepVggBlock(nn.Module):
    """Sum of a 3x3, a 1x1 and, where shapes allow, no convolution, each normalised."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.rbr_dense = _normalised_conv(inputs, outputs, 3, stride)
        self.rbr_1x1 = _normalised_conv(inputs, outputs, 1, stride)
        self.rbr_identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        total = self.rbr_dense(x) + self.rbr_1x1(x)
        return F.relu(total if self.rbr_identity is None else total + self.rbr_identity(x))

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """One convolution that gives the sum in evaluation mode, up to rounding."""
        dense, single = (cast(nn.Conv2d, branch[0]) for branch in (self.rbr_dense, self.rbr_1x1))
        found = nn.Conv2d(dense.in_channels, dense.out_channels, 3, dense.stride[0], 1).to(dense.weight.device)
        parts = [_folded(dense.weight, self.rbr_dense[1]), _folded(F.pad(single.weight, (1,) * 4), self.rbr_1x1[1])]
        if self.rbr_identity is not None:
            same = torch.eye(dense.out_channels, device=dense.weight.device)[:, :, None, None]
            parts.append(_folded(F.pad(same, (1,) * 4), self.rbr_identity))
        found.weight.copy_(torch.stack([weight for weight, _ in parts]).sum(0))
        assert found.bias is not None
        found.bias.copy_(torch.stack([bias for _, bias in parts]).sum(0))
        return found


class Backbone(nn.Module):
    def __init__(self, config: EloftrConfig) -> None:
        super().__init__()
        (half, quarter, eighth), (a, b, c) = config.block_dims, config.blocks
        self.layer0: nn.Module = RepVggBlock(1, half, 2)
        self.layer1 = _stage(half, half, a, 1)
        self.layer2 = _stage(half, quarter, b, 2)
        self.layer3 = _stage(quarter, eighth, c, 2)

    def forward(self, image: Tensor) -> Pyramid:
        """Of (B, 1, H, W) in [0, 1]."""
        half = _through(self.layer1, self.layer0(image))
        quarter = _through(self.layer2, half)
        return Pyramid(half, quarter, _through(self.layer3, quarter))

    def merged(self) -> Backbone:
        """The same function with one convolution a block: less work, and not to be trained."""
        found = Backbone.__new__(Backbone)
        nn.Module.__init__(found)
        found.layer0 = nn.Sequential(cast(RepVggBlock, self.layer0).merged(), nn.ReLU())
        for name in ("layer1", "layer2", "layer3"):
            blocks = (cast(RepVggBlock, block) for block in getattr(self, name))
            setattr(found, name, nn.ModuleList(nn.Sequential(block.merged(), nn.ReLU()) for block in blocks))
        return found


class AggregatedAttention(nn.Module):
    """Attention of learned averages of 4 x 4 cells to the maxima of such, brought back to all cells."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.aggregate = nn.Conv2d(dim, dim, AGGREGATED, AGGREGATED, bias=False, groups=dim)
        self.q_proj, self.k_proj, self.v_proj, self.merge = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(2 * dim, 2 * dim, bias=False), nn.LeakyReLU(), nn.Linear(2 * dim, dim, bias=False)
        )
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, source: Tensor, usable: Tensor, positions: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """What x, (1, C, h, w), becomes when it has looked at source.

        Args:
            source: (1, C, h', w').
            usable: (h'/4 * w'/4,) bool, tokens of source that may be looked at.
            positions: cosine and sine as `rotary` gives them, of an image that looks at itself.
        """
        query = self.norm1(self.aggregate(x).flatten(2).transpose(1, 2))
        tokens = self.norm1(F.max_pool2d(source, AGGREGATED).flatten(2).transpose(1, 2))
        q, k, v = self.q_proj(query), self.k_proj(tokens), self.v_proj(tokens)
        if positions is not None:
            q, k = _rotated(q, *positions), _rotated(k, *positions)
        q, k, v = (each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in (q, k, v))
        mask = None if bool(usable.all()) else usable[None, None, None]
        seen = F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
        height, width = x.shape[2] // AGGREGATED, x.shape[3] // AGGREGATED
        message = self.merge(seen).transpose(1, 2).unflatten(2, (height, width))
        message = F.interpolate(message, scale_factor=float(AGGREGATED), mode="bilinear")
        change = self.norm2(self.mlp(torch.cat([x, message], 1).permute(0, 2, 3, 1)))
        return cast(Tensor, x + change.permute(0, 3, 1, 2))


class CoarseTransformer(nn.Module):
    """Layers in turn: each image looks at itself, and at the other."""

    def __init__(self, config: EloftrConfig) -> None:
        super().__init__()
        dim = config.block_dims[2]
        self.layers = nn.ModuleList(AggregatedAttention(dim, config.heads) for _ in range(2 * config.layers))

    def forward(
        self, fixed: Tensor, moving: Tensor, fixed_usable: Tensor, moving_usable: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(1, C, h, w) and (1, C, h', w'), with the tokens of each that may be looked at."""
        here, there = rotary(fixed), rotary(moving)
        for number, layer in enumerate(self.layers):
            if number % 2 == 0:
                fixed = layer(fixed, fixed, fixed_usable, here)
                moving = layer(moving, moving, moving_usable, there)
            else:
                fixed = layer(fixed, moving, moving_usable)
                moving = layer(moving, fixed, fixed_usable)  # which has looked already, as in training
        return fixed, moving


class FinePreprocess(nn.Module):
    """From coarse features that have met the other image to one feature a pixel."""

    def __init__(self, config: EloftrConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.block_dims
        self.layer3_outconv = nn.Conv2d(eighth, eighth, 1, bias=False)
        self.layer2_outconv = nn.Conv2d(quarter, eighth, 1, bias=False)
        self.layer2_outconv2 = _fused(eighth, quarter)
        self.layer1_outconv = nn.Conv2d(half, quarter, 1, bias=False)
        self.layer1_outconv2 = _fused(quarter, half)

    def forward(self, pyramid: Pyramid, coarse: Tensor) -> Tensor:
        """(1, C, H, W) of coarse (1, C', H / 8, W / 8)."""
        down = _doubled(self.layer3_outconv(coarse))
        down = _doubled(self.layer2_outconv2(down + self.layer2_outconv(pyramid.quarter)))
        return _doubled(self.layer1_outconv2(down + self.layer1_outconv(pyramid.half)))


class EfficientLoftr(nn.Module):
    """The parts under their published names; `xmatch.networks.eloftr.runner` puts them to use."""

    def __init__(self, config: EloftrConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.loftr_coarse = CoarseTransformer(config)
        self.fine_preprocess = FinePreprocess(config)


def rotary(coarse: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each token's angles (Su et al. 2021), (h/4 * w/4, C), of an image of (1, C, h, w) cells.

    Pairs of channels turn with row and column in turn. Positions are those of an image whose longer side is
    `TRAINED_PX`: the authors ask for that, and weights were trained with no others.
    """
    channels, height, width = coarse.shape[1], coarse.shape[2] // AGGREGATED, coarse.shape[3] // AGGREGATED
    scale = TRAINED_PX / (MULTIPLE * max(height, width))
    frequency = 10000.0 ** (-torch.arange(channels // 4, device=coarse.device, dtype=torch.float32) / (channels // 4))
    rows = torch.arange(1, height + 1, device=coarse.device)[:, None, None] * scale * frequency
    columns = torch.arange(1, width + 1, device=coarse.device)[:, None] * scale * frequency
    angles = torch.stack([rows.expand(-1, width, -1), columns.expand(height, -1, -1)], -1)
    angles = angles.flatten(2).repeat_interleave(2, -1).flatten(0, 1)
    return angles.cos(), angles.sin()


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    even, odd = x[..., ::2], x[..., 1::2]
    return x * cosine + torch.stack([-odd, even], -1).flatten(-2) * sine


def _normalised_conv(inputs: int, outputs: int, side: int, stride: int) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(outputs))
    return layers


def _folded(weight: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution together with the normalisation after it, in evaluation mode."""
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.ModuleList:
    return nn.ModuleList(
        RepVggBlock(outputs if number else inputs, outputs, 1 if number else stride) for number in range(blocks)
    )


def _through(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def _fused(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(inputs),
        nn.LeakyReLU(),
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
    )


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")
