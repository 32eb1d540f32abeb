"""What XoFTR makes of a match of cells: windows at strides 4 and 2 that look at each other, and a place within a cell.

The windows of a matched pair of cells are 3 x 3 features of stride 4, which look at both cells as well, and 5 x 5 of
stride 2, which look at those of stride 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.xoftr.config import XoftrConfig

MEDIUM, FINE = 3, 5
"""Features a side of the windows at strides 4 and 2."""
TEMPERATURE = 0.1
"""Of the softmax within windows, as published weights were trained with."""


class Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(2 * dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return found


class Attention(nn.Module):
    """Of a window to itself."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kv_proj = nn.Linear(dim, 2 * dim, bias=False)
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.merge = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        k, v = self.kv_proj(x).chunk(2, -1)
        q, k, v = (_by_head(each, self.heads) for each in (self.q_proj(x), k, v))
        found: Tensor = self.merge(_joined(F.scaled_dot_product_attention(q, k, v)))
        return found


class CrossAttention(nn.Module):
    """Of two windows to each other: queries of one are keys of the other, both ways."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qk_proj, self.v_proj, self.merge = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.temperature = nn.Parameter(torch.zeros(1))  # published, and never used

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        a, b = (_by_head(self.qk_proj(x), self.heads) for x in (fixed, moving))
        v, w = (_by_head(self.v_proj(x), self.heads) for x in (fixed, moving))
        here, there = F.scaled_dot_product_attention(a, b, w), F.scaled_dot_product_attention(b, a, v)
        return self.merge(_joined(here)), self.merge(_joined(there))


class Positions(nn.Module):
    """Adds what is learned of each place of a square window."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pos_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        half = round(x.shape[1] ** 0.5) // 2
        steps = torch.arange(-half, half + 1, device=x.device, dtype=x.dtype) / half
        learned: Tensor = self.pos_mlp(torch.cartesian_prod(steps, steps))
        return x + learned


class WindowSelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int, before_has_places: bool) -> None:
        super().__init__()
        self.mlp = Mlp(dim)
        self.gamma = nn.Parameter(torch.ones(dim))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.pos_embed = Positions(dim)
        self.pos_embed_pre = Positions(dim) if before_has_places else nn.Identity()

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """(M, N, C) of the windows, which look at themselves and at (M, N', C) of the stage before."""
        both = torch.cat([self.pos_embed(x), self.pos_embed_pre(before)], 1)
        message = self.mlp(torch.cat([both, self.attn(self.norm2(both))], -1))
        found: Tensor = (both + self.gamma * self.norm1(message))[:, : x.shape[1]]
        return found


class WindowCrossAttention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = Mlp(dim)
        self.cross_attn = CrossAttention(dim, heads)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        here, there = self.cross_attn(self.norm1(fixed), self.norm1(moving))
        return self._changed(fixed, here), self._changed(moving, there)

    def _changed(self, x: Tensor, message: Tensor) -> Tensor:
        change: Tensor = self.norm2(self.mlp(torch.cat([x, message], -1)))
        return x + self.gamma * change


class FineProcess(nn.Module):
    def __init__(self, config: XoftrConfig) -> None:
        super().__init__()
        (fine, medium, coarse), (fine_heads, medium_heads, _) = config.block_dims, config.heads
        self.conv_merge = nn.Sequential(
            nn.Conv2d(2 * coarse, medium, 1, bias=False),
            nn.Conv2d(medium, medium, 3, padding=1, groups=medium, bias=False),
            nn.BatchNorm2d(medium),
        )
        self.out_conv_m = nn.Conv2d(medium, medium, 1, bias=False)
        self.out_conv_f = nn.Conv2d(fine, fine, 1, bias=False)
        self.self_attn_m = WindowSelfAttention(medium, medium_heads, before_has_places=False)
        self.cross_attn_m = WindowCrossAttention(medium, medium_heads)
        self.self_attn_f = WindowSelfAttention(fine, fine_heads, before_has_places=True)
        self.cross_attn_f = WindowCrossAttention(fine, fine_heads)
        self.down_proj_m_f = nn.Linear(medium, fine, bias=False)

    def merged(self, attended: Tensor, before: Tensor) -> Tensor:
        """(1, C', h, w) of coarse features (1, C, h, w) after and before they met the other image's."""
        found: Tensor = self.conv_merge(torch.cat([attended, before], 1))
        return found

    def forward(
        self, cells: tuple[Tensor, Tensor], medium: tuple[Tensor, Tensor], fine: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """(M, 25, C) fine windows of fixed and of moving that have looked at each other.

        Args:
            cells: of fixed and of moving each, (M, 1, C') merged coarse features.
            medium: (M, 9, C') windows, through `out_conv_m`.
            fine: (M, 25, C), through `out_conv_f`.
        """
        pair = self.self_attn_m(torch.cat(medium), torch.cat(cells)).chunk(2)
        pair = self.down_proj_m_f(torch.cat(self.cross_attn_m(*pair)))
        here, there = self.self_attn_f(torch.cat(fine), pair).chunk(2)
        found: tuple[Tensor, Tensor] = self.cross_attn_f(here, there)
        return found


class SubpixelMatching(nn.Module):
    def __init__(self, config: XoftrConfig) -> None:
        super().__init__()
        dim = config.block_dims[0]
        self.fine_proj = nn.Linear(dim, dim, bias=False)
        self.subpixel_mlp = nn.Sequential(
            nn.Linear(2 * dim, 2 * dim, bias=False), nn.ReLU(), nn.Linear(2 * dim, 4, bias=False)
        )

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest match of each pair of windows (M, 25, C).

        Returns:
            (M, 2) and (M, 2) places in fixed's and moving's window, from its middle, in fine features; (M,) the product
            of both probabilities.
        """
        here, there = (self.fine_proj(x) / x.shape[-1] ** 0.5 for x in (fixed, moving))
        similarity = here @ there.transpose(1, 2) / TEMPERATURE
        sure, best = (similarity.softmax(1) * similarity.softmax(2)).flatten(1).max(1)
        number = torch.arange(len(best), device=best.device)
        i, j = best // FINE**2, best % FINE**2
        shift = 0.5 * self.subpixel_mlp(torch.cat([fixed[number, i], moving[number, j]], -1)).tanh()
        return _from_middle(i) + shift[:, :2], _from_middle(j) + shift[:, 2:], sure


def _from_middle(number: Tensor) -> Tensor:
    return torch.stack([number % FINE, number // FINE], -1) - FINE // 2


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(M, N, C) as (M, heads, N, C / heads)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)
