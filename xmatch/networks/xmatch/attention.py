"""Self- and cross-attention between the coarse cells of two images of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 100.0
"""Longest period of the rotary positions, in cells over 2 pi: enough for views of more than 1600 px."""


def rotary(height: int, width: int, channels: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (height * width, channels / 2) of rotary positions (Su et al. 2021), half for x, half for y."""
    count = channels // 4
    frequency = BASE ** -(torch.arange(count, device=like.device, dtype=torch.float32) / count)
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=torch.float32),
        torch.arange(width, device=like.device, dtype=torch.float32),
        indexing="ij",
    )
    angle = torch.cat([x.reshape(-1, 1) * frequency, y.reshape(-1, 1) * frequency], 1)
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(B, heads, N, C) with each pair of channels (c, c + C/2) turned by its angle."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


class Attention(nn.Module):
    """One pre-norm attention layer with its feed-forward part; queries from one image, keys from it or another."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.merge = nn.Linear(channels, channels, bias=False)
        self.feed = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(
        self, x: Tensor, source: Tensor, seen: Tensor, positions: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Args: x (B, N, C), source (B, M, C), seen (B, M) bool, positions for self-attention (M = N)."""
        batch, count, channels = x.shape
        origin = self.norm(x) if source is x else self.norm(source)
        query = self.query(self.norm(x)).view(batch, count, self.heads, -1).transpose(1, 2)
        key, value = self.key_value(origin).view(batch, source.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        if positions is not None:
            query, key = rotated(query, *positions), rotated(key, *positions)
        message = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
        x = x + self.merge(message.transpose(1, 2).reshape(batch, count, channels))
        fed: Tensor = self.feed(x)
        return x + fed


class PairAttention(nn.Module):
    """Layers of self- and cross-attention, the same weights for both images."""

    def __init__(self, channels: int, heads: int, layers: int) -> None:
        super().__init__()
        self.own = nn.ModuleList(Attention(channels, heads) for _ in range(layers))
        self.other = nn.ModuleList(Attention(channels, heads) for _ in range(layers))
        self.heads = heads

    def forward(self, fixed: Tensor, moving: Tensor, fixed_seen: Tensor, moving_seen: Tensor) -> tuple[Tensor, Tensor]:
        """Both images' cells after they have looked at each other.

        Args:
            fixed: (B, C, h, w); moving: (B, C, h2, w2).
            fixed_seen, moving_seen: (B, h * w) bool, cells that may be looked at; at least one in each image.
        """
        channels = fixed.shape[1] // self.heads
        places = [rotary(image.shape[2], image.shape[3], channels, image) for image in (fixed, moving)]
        a, b = (image.flatten(2).transpose(1, 2) for image in (fixed, moving))
        for own, other in zip(self.own, self.other, strict=True):
            a, b = own(a, a, fixed_seen, places[0]), own(b, b, moving_seen, places[1])
            a, b = other(a, b, moving_seen), other(b, a, fixed_seen)
        return a.transpose(1, 2).reshape(fixed.shape), b.transpose(1, 2).reshape(moving.shape)
