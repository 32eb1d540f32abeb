"""Looking an image up at any places, without aliasing, and which of the looked-up px are to be believed."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.seeds import uploaded


def resampled(image: Tensor, places: Tensor, step_px: np.ndarray) -> Tensor:
    """(B, C, H, W) at (B, 2, h, w) normalised places: bilinear, between the two nearest levels of a mean pyramid.

    Trilinear mip-mapping (Williams 1983): a level is chosen per image, by `step_px` (B,), image px per looked-up px.
    Beyond the border the border repeats. H and W are multiples of 8, or the levels would not lie on top of each other.
    """
    level = np.log2(np.maximum(step_px, 1.0)).clip(0, 3)
    # Levels that matter by less than a twentieth are not worth their time.
    level = np.where(np.abs(level - level.round()) < 0.05, level.round(), level)
    out: Tensor | None = None
    for number in range(int(np.ceil(level.max(initial=0))) + 1):
        weight = (1 - np.abs(level - number)).clip(0)
        if number:
            image = F.avg_pool2d(image, 2)
        chosen = np.flatnonzero(weight)
        if not len(chosen):
            continue
        if len(chosen) == len(level) and weight.min() == 1:
            return bilinear(image, places)
        where = uploaded(chosen, image.device, torch.int64)
        share = uploaded(weight[chosen], image.device)[:, None, None, None]
        part = bilinear(image.index_select(0, where), places.index_select(0, where)) * share
        out = image.new_zeros((len(image), image.shape[1], *places.shape[-2:])) if out is None else out
        out.index_add_(0, where, part)
    if out is None:
        raise ValueError("no image to resample")
    return out


def believed(valid: Tensor, places: Tensor, step_px: np.ndarray) -> Tensor:
    """(B, 1, h, w) bool: every px that `resampled` touches lies inside the image and is valid, (B, 1, H, W) bool."""
    height, width = valid.shape[-2:]
    levels = np.ceil(np.log2(np.maximum(step_px, 1.0)) - 0.05).clip(0, 3)
    edge = 1 - 2.0 ** levels[:, None] / np.array([width, height])  # half a px of the coarsest level that is looked at
    return within(places, edge) & all_valid_at(valid, places, pools=int(levels.max(initial=0)))


def within(places: Tensor, edge: np.ndarray | float = 1.0) -> Tensor:
    """(B, 1, h, w) bool: (B, 2, h, w) places lie in [-edge, edge], a number or (B, 2)."""
    if not isinstance(edge, float):
        limit = uploaded(edge, places.device)[:, :, None, None]
        return (places[:, :1].abs() <= limit[:, :1]) & (places[:, 1:].abs() <= limit[:, 1:])
    return (places[:, :1].abs() <= edge) & (places[:, 1:].abs() <= edge)


def all_valid_at(valid: Tensor, places: Tensor, pools: int = 0) -> Tensor:
    """(B, 1, h, w) bool: the four px of `valid` around each place hold, and those within 2 ** pools of them.

    Beyond the border the border repeats.
    """
    if valid.device.type == "cpu" and bool(valid.all()):  # a GPU would have to be waited for
        return torch.ones((), dtype=torch.bool, device=valid.device).expand(len(places), 1, *places.shape[-2:])
    cover = valid.to(places.dtype)
    if pools:
        size = 2 * 2**pools - 1
        cover = -F.max_pool2d(-cover, size, stride=1, padding=size // 2)
    return bilinear(cover, places) > 0.999


def bilinear(image: Tensor, places: Tensor) -> Tensor:
    """(B, C, H, W) at (B, 2, h, w) normalised places; beyond the border the border repeats."""
    grid = places.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
