"""A convolutional pyramid of one image: strides 1 to 16, seen once and used against every partner."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.edges import CHANNELS, observed
from xmatch.networks.layers import Residual, conv
from xmatch.networks.xmatch.config import XMatchConfig

Features = dict[int, Tensor]
"""stride -> (B, C, H / stride, W / stride)."""


class Encoder(nn.Module):
    """Image and mask -> features at strides 16 and 8 for the coarse stage, and at the refiners' strides."""

    def __init__(self, config: XMatchConfig) -> None:
        super().__init__()
        widths = (CHANNELS, *config.channels)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(a, b, stride=2), nn.ReLU(), *(Residual(b) for _ in range(count)))
            for a, b, count in zip(widths, config.channels, config.blocks, strict=False)
        )
        inputs = dict(zip((1, 2, 4, 8), widths[:4], strict=True))
        self.strides = config.refine_strides
        wanted = dict(zip(config.refine_strides, config.refine_channels, strict=True))
        # Top down: what the coarser level knows goes into the finer one.
        above = (config.channels[3], *config.refine_channels)
        self.lateral = nn.ModuleDict({str(s): nn.Conv2d(inputs[s], c, 3, padding=1) for s, c in wanted.items()})
        self.down = nn.ModuleDict(
            {str(s): nn.Conv2d(a, c, 1) for (s, c), a in zip(wanted.items(), above, strict=False)}
        )
        self.smooth = nn.ModuleDict({str(s): conv(c, c) for s, c in wanted.items()})

    def forward(self, image: Tensor, valid: Tensor, *, finest: int = 1) -> tuple[Tensor, Tensor, Features]:
        """Features of one batch of images.

        Args:
            image: (B, 1, H, W), any range; H and W multiples of 16.
            valid: (B, 1, H, W) bool.
            finest: no features are made for refiners below this stride.

        Returns:
            Stride 16 (B, C16, H/16, W/16), stride 8 (B, C8, H/8, W/8), and the refiners' features.
        """
        x = observed(image, valid).contiguous(memory_format=torch.channels_last)
        levels = {1: x}
        for stride, stage in zip((2, 4, 8, 16), self.stages, strict=True):
            x = stage(x)
            levels[stride] = x
        features: Features = {}
        above = levels[16]
        for stride in self.strides:
            if stride < finest:
                break
            key = str(stride)
            raised = F.interpolate(self.down[key](above), scale_factor=2, mode="bilinear", align_corners=False)
            above = F.relu(self.smooth[key](self.lateral[key](levels[stride]) + raised))
            features[stride] = above
        return levels[16], levels[8], features
