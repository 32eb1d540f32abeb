"""One step of refinement: look around the present guess, say how far off it is and how sure that is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.grids import jacobian, numbers
from xmatch.networks.layers import Residual, conv
from xmatch.ops.correlation import local_correlation


class Refiner(nn.Module):
    """Features of both images and a warp -> a better warp and a change of certainty, as in DKM and RoMa."""

    def __init__(self, channels: int, hidden: int, blocks: int, radius: int) -> None:
        super().__init__()
        self.radius = radius
        # Both features, the window of correlations, turn and scale of the warp, certainty so far.
        self.enter = conv(2 * channels + (2 * radius + 1) ** 2 + 4 + 1, hidden)
        self.body = nn.Sequential(*(Residual(hidden) for _ in range(blocks - 1)))
        self.out = nn.Conv2d(hidden, 3, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, fixed: Tensor, moving: Tensor, warp: Tensor, certainty: Tensor) -> tuple[Tensor, Tensor]:
        """Args: fixed (B, C, h, w), moving (B, C, h2, w2), warp (B, h, w, 2) normalised, certainty (B, h, w) logits."""
        # In the precision of the warp: bfloat16 would know a place in a view of 64 cells to an eighth of one.
        there = F.grid_sample(moving.to(warp.dtype), warp, mode="bilinear", align_corners=False).to(fixed.dtype)
        window = local_correlation(
            F.normalize(fixed, dim=1) * fixed.shape[1] ** 0.5, F.normalize(moving, dim=1), warp, self.radius
        )
        turn = jacobian(warp, (moving.shape[2], moving.shape[3])).to(fixed.dtype)
        known = (certainty[:, None] / 4).tanh().to(fixed.dtype)
        inputs = torch.cat([fixed, there, 2 * window.to(fixed.dtype), turn, known], 1)
        change = self.out(self.body(F.relu(self.enter(inputs)))).float()
        cells = change[:, :2].permute(0, 2, 3, 1)
        step = cells * numbers([2 / moving.shape[3], 2 / moving.shape[2]], cells)
        return warp + step, certainty + change[:, 2]
