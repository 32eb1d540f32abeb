"""Where points of fixed truly lie in moving, read from a batch's dense warp."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.networks.grids import numbers
from xmatch.synth.pairs import TrainingPairs


def true_places(batch: TrainingPairs, xy: Tensor) -> tuple[Tensor, Tensor]:
    """Positions in moving of points of fixed.

    Args:
        xy: (B, N, 2) px of fixed, first pixel centre at (0.5, 0.5).

    Returns:
        (B, N, 2) px of moving, and (B, N) bool: the pixels around the point are seen in both images.
    """
    height, width = batch.fixed.shape[-2:]
    grid = (2 * xy / numbers([width, height], xy) - 1)[:, None]
    # A single point is meaningless where the warp is: zeros there keep neighbours finite, and `seen` is false.
    warp = torch.where(batch.covisible[..., None], batch.warp, 0.0).permute(0, 3, 1, 2)
    found = F.grid_sample(warp, grid, padding_mode="border", align_corners=False)[:, :, 0].transpose(1, 2)
    share = F.grid_sample(batch.covisible[:, None].float(), grid, align_corners=False)[:, 0, 0]
    sides = numbers([batch.moving.shape[-1], batch.moving.shape[-2]], xy)
    return (found + 1) / 2 * sides, share > 0.999


def mutual_nearest(distance: Tensor) -> Tensor:
    """(B, M, N) bool: row and column are each other's nearest; distances of inf are none."""
    by_row = distance == distance.amin(2, keepdim=True)
    by_column = distance == distance.amin(1, keepdim=True)
    return by_row & by_column & distance.isfinite()
