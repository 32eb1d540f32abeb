"""DINOv2's vision transformer, as its authors compute it."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.dinov2.config import PATCH_PX, DinoConfig
from xmatch.networks.vit import Block

EPS = 1e-6


class Dino(nn.Module):
    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, config.side**2 + 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, width, PATCH_PX, PATCH_PX)))
        self.blocks = nn.ModuleList(
            Block(width, config.heads, biased=True, scaled=True, eps=EPS) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, EPS)

    def forward(self, image: Tensor) -> Tensor:
        """Features of patches.

        Args:
            image: (B, 3, H, W), H and W multiples of `PATCH_PX`.

        Returns:
            (B, width, H / 14, W / 14).
        """
        patches = self.patch_embed(image.to(self.cls_token.dtype))
        rows, columns = (int(side) for side in patches.shape[2:])  # numbers in a trace too
        first = self.cls_token.to(patches.dtype).expand(len(image), -1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self._positions(rows, columns).to(tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens)
        found: Tensor = self.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))
        return found

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, width)."""
        side = self.config.side
        if (rows, columns) == (side, side):
            return self.pos_embed
        learned = self.pos_embed[:, 1:].float().transpose(1, 2).reshape(1, -1, side, side)
        # Its authors add a tenth against rounding, and it shifts what is looked up: weights were used with that.
        scale = ((rows + 0.1) / side, (columns + 0.1) / side)
        resized = F.interpolate(learned, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1].float(), resized.flatten(2).transpose(1, 2)], 1)
