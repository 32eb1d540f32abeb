"""Looking an image up at any places, without aliasing, and which of the looked-up px are to be believed."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def resampled(image: Tensor, grid: Tensor, step_px: np.ndarray) -> Tensor:
    """(B, C, H, W) at (B, h, w, 2) normalised places: bilinear, between the two nearest levels of a mean pyramid.

    Trilinear mip-mapping (Williams 1983): a level is chosen per image, by `step_px` (B,), image px per looked-up px.
    Beyond the border the border repeats. H and W are multiples of 8, or the levels would not lie on top of each other.
    """
    level = np.log2(np.maximum(step_px, 1.0)).clip(0, 3)
    # Levels that matter by less than a twentieth are not worth their time.
    level = np.where(np.abs(level - level.round()) < 0.05, level.round(), level)
    out = None
    for number in range(int(np.ceil(level.max(initial=0))) + 1):
        weight = (1 - np.abs(level - number)).clip(0)
        if number:
            image = F.avg_pool2d(image, 2)
        chosen = np.flatnonzero(weight)
        if not len(chosen):
            continue
        if len(chosen) == len(level) and weight.min() == 1:
            return _bilinear(image, grid)
        where = torch.as_tensor(chosen, device=image.device)
        share = torch.as_tensor(weight[chosen], dtype=image.dtype, device=image.device)[:, None, None, None]
        part = _bilinear(image.index_select(0, where), grid.index_select(0, where)) * share
        out = image.new_zeros((len(image), image.shape[1], *grid.shape[1:3])) if out is None else out
        out.index_add_(0, where, part)
    return out


def believed(valid: Tensor, grid: Tensor, step_px: np.ndarray) -> Tensor:
    """(B, 1, h, w) bool: every px that `resampled` touches lies inside the image and is valid, (B, 1, H, W) bool."""
    height, width = valid.shape[-2:]
    reach = torch.as_tensor(2.0 ** np.ceil(np.log2(np.maximum(step_px, 1.0)) - 0.05), dtype=grid.dtype)
    reach = reach.to(grid.device)[:, None, None]
    inside = (grid[..., 0].abs() <= 1 - reach / width) & (grid[..., 1].abs() <= 1 - reach / height)
    return inside[:, None] & all_valid_at(valid, grid, pools=int(np.log2(float(reach.max()))))


def all_valid_at(valid: Tensor, grid: Tensor, pools: int = 0) -> Tensor:
    """(B, 1, h, w) bool: the four px of `valid` around each place hold, and those within 2 ** pools of them.

    Beyond the border the border repeats.
    """
    if bool(valid.all()):
        return torch.ones((), dtype=torch.bool, device=valid.device).expand(len(grid), 1, *grid.shape[1:3])
    cover = valid.to(grid.dtype)
    if pools:
        size = 2 * 2**pools - 1
        cover = -F.max_pool2d(-cover, size, stride=1, padding=size // 2)
    return _bilinear(cover, grid) > 0.999


def _bilinear(image: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
