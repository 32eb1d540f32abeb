"""RoMa's refiners: from a warp, and what it lays on each other, to a better warp."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.grids import cell_centres
from xmatch.ops.correlation import local_correlation

DISPLACEMENT = 40 / 32
"""Displacements were encoded in cells of a smaller image first; the factor stayed."""
MOMENTUM = 0.01
"""Of the running statistics."""


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
        nn.BatchNorm2d(channels, momentum=MOMENTUM),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1),
    )


class Refiner(nn.Module):
    """
    Args:
        channels: of what enters, and inside.
        embedded: of them for the displacement.
        radius: of the window of correlations, cells; 0: there is none.
        hidden: further blocks.

    Attributes:
        spare: further channels that are always zero (`xmatch.networks.roma.merged`).
    """

    def __init__(self, channels: int, embedded: int, radius: int, hidden: int) -> None:
        super().__init__()
        self.radius, self.spare = radius, 0
        self.block1 = _block(channels)
        self.hidden_blocks = nn.Sequential(*(_block(channels) for _ in range(hidden)))
        self.out_conv = nn.Conv2d(channels, 3, 1)
        self.disp_emb = nn.Conv2d(2, embedded, 1)

    def forward(self, fixed: Tensor, moving: Tensor, warp: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """
        Args:
            fixed: (B, C, h, w) features.
            moving: (B, C, h2, w2).
            warp: (B, h, w, 2) float32 normalised, to be refined.
            scale: sides of the images, relative to those of training.

        Returns:
            (B, h, w, 2) steps, in units that `steps_to_warp` knows, and (B, h, w) to be added to the certainty.
        """
        height, width = fixed.shape[2:]
        # Positions need single precision whatever the features are in.
        laid = F.grid_sample(moving.float(), warp, padding_mode="zeros", align_corners=False).to(moving.dtype)
        moved = (warp - cell_centres(height, width, warp)).permute(0, 3, 1, 2)
        parts = [fixed, laid, self.disp_emb(DISPLACEMENT * scale * moved)]
        if self.radius:
            # As its authors have it, these teach fixed's features alone.
            parts.append(local_correlation(fixed, moving.detach(), warp, self.radius))
        if self.spare:
            parts.append(fixed.new_zeros(len(fixed), self.spare, height, width))
        x = self.hidden_blocks(self.block1(torch.cat(parts, 1)))
        with torch.autocast(x.device.type, enabled=False):
            out = self.out_conv(x.float()).permute(0, 2, 3, 1)
        return out[..., :2], out[..., 2]
