"""The fusion: semantic and geometric features learn from each other (Xue et al. 2025, section 3.2, equations 1 to 6).

What the paper leaves open, and is chosen here: eight heads; no encoding of positions, which the features carry
themselves; an attention block makes of each token and the message to it, side by side, what is added (two linear
layers, as LightGlue does); the semantic feature, at 1/16, is brought to 1/8 before it is cut into patches; each token
gives all cells of its patch a feature of their own (`MatchaConfig.per_cell`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmatch.networks.matcha.config import MatchaConfig


class Fused(NamedTuple):
    """Both features, each as it learned from the other, at 1/8."""

    geometric: Tensor
    """(B, 256, h, w): F_g."""
    semantic: Tensor
    """(B, 768, h, w): F_s."""


class AttentionBlock(nn.Module):
    """What tokens take from others: self-attention where these are themselves, else cross-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor, source: Tensor) -> Tensor:
        """(B, N, D) to be added to `tokens` (B, N, D), from `source` (B, M, D)."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, tokens), (self.key, source), (self.value, source))
        )
        message = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        added: Tensor = self.mlp(torch.cat([tokens, self.out(message)], -1))
        return added


class FusionBlock(nn.Module):
    """Equations 1 to 4: what cross-attention adds, it adds to the block's own input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_high = AttentionBlock(width, heads)
        self.self_low = AttentionBlock(width, heads)
        self.cross_high = AttentionBlock(width, heads)
        self.cross_low = AttentionBlock(width, heads)

    def forward(self, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        own_high = high + self.self_high(high, high)
        own_low = low + self.self_low(low, low)
        return high + self.cross_high(own_high, own_low), low + self.cross_low(own_low, own_high)


class Fusion(nn.Module):
    """MATCHA's fusion of a semantic feature at 1/16 and a geometric one at 1/8."""

    def __init__(self, config: MatchaConfig = MatchaConfig()) -> None:
        super().__init__()
        self.config, width, patch = config, config.width, config.patch
        self.project_high = nn.Conv2d(config.high, width, patch, patch)
        self.project_low = nn.Conv2d(config.low, width, patch, patch)
        self.blocks = nn.ModuleList(FusionBlock(width, config.heads) for _ in range(config.blocks))
        cells = patch**2 if config.per_cell else 1
        self.head_high = _mlp(2 * width, config.semantic * cells)
        self.head_low = _mlp(2 * width, config.geometric * cells)

    def forward(self, high: Tensor, low: Tensor) -> Fused:
        """
        Args:
            high: (B, 1280, h', w') semantic feature, of any size.
            low: (B, 640, h, w) geometric feature; h and w are multiples of the patch.

        Raises:
            ValueError: they are not.
        """
        size, patch = low.shape[-2:], self.config.patch
        if any(side % patch for side in size):
            raise ValueError(f"want sides that are multiples of {patch} cells; got {size[0]} x {size[1]}")
        grid = size[0] // patch, size[1] // patch
        first_high = _tokens(self.project_high(resized(high, size)))
        first_low = _tokens(self.project_low(low))
        last_high, last_low = first_high, first_low
        for block in self.blocks:
            last_high, last_low = block(last_high, last_low)
        return Fused(
            self._cells(self.head_low(torch.cat([first_low, last_low], -1)), grid),
            self._cells(self.head_high(torch.cat([first_high, last_high], -1)), grid),
        )

    def _cells(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        patch = self.config.patch
        planes = tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
        if self.config.per_cell:
            return F.pixel_shuffle(planes, patch)
        return resized(planes, (grid[0] * patch, grid[1] * patch))


def merged(*features: Tensor) -> Tensor:
    """(B, C, h, w) of length 1: features (B, C_i, h, w) side by side, each with the same weight."""
    return F.normalize(torch.cat([F.normalize(feature, dim=1) for feature in features], 1), dim=1)


def unified(fused: Fused, dino: Tensor) -> Tensor:
    """(B, 1024, h, w) of length 1: F_m, the one feature for all tasks (equation 6).

    Args:
        dino: (B, 1024, h', w') of DINOv2, of any size.
    """
    joint = fused.geometric.shape[1] * 2
    stride = max(1, dino.shape[1] // joint)
    third = resized(dino, fused.geometric.shape[-2:])[:, ::stride]
    return merged(fused.geometric, _every(fused), third)


def joint(fused: Fused) -> Tensor:
    """(B, 512, h, w) of length 1: F_t, without DINOv2."""
    return merged(fused.geometric, _every(fused))


def resized(feature: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, *size), bilinear; as it is where it has the size."""
    if feature.shape[-2:] == size:
        return feature
    return F.interpolate(feature, tuple(size), mode="bilinear", align_corners=False)


def _every(fused: Fused) -> Tensor:
    """As many channels of the semantic feature as the geometric one has, evenly spread."""
    return fused.semantic[:, :: fused.semantic.shape[1] // fused.geometric.shape[1]]


def _tokens(planes: Tensor) -> Tensor:
    """(B, N, D) of (B, D, h, w), row by row."""
    return planes.flatten(2).transpose(1, 2)


def _mlp(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))
