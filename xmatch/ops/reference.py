"""Local correlation as it is defined, one offset at a time: short, slow, and what the quick ones are tested against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_FAR = 1e6
"""Normalised position that stands for whatever is no number: far outside, where the padding is zero."""


def local_correlation(fixed: Tensor, moving: Tensor, warp: Tensor, radius: int) -> Tensor:
    """As `xmatch.ops.correlation.local_correlation`; gradients by autograd."""
    height, width = moving.shape[-2:]
    kept = torch.promote_types(fixed.dtype, moving.dtype)
    exact = torch.promote_types(kept, torch.float32)
    scaled, moving = fixed.to(exact) / fixed.shape[1] ** 0.5, moving.to(exact)
    grid = warp.to(exact).nan_to_num(_FAR).clamp(-_FAR, _FAR)
    planes = []
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            offset = grid.new_tensor([2 * dx / width, 2 * dy / height])
            sampled = F.grid_sample(moving, grid + offset, mode="bilinear", padding_mode="zeros", align_corners=False)
            planes.append((scaled * sampled).sum(dim=1))
    return torch.stack(planes, dim=1).to(kept)
