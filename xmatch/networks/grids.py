"""Grids of normalised coordinates: x and y in [-1, 1] over the image's edges, as grid_sample(align_corners=False)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def cell_centres(height: int, width: int, like: Tensor) -> Tensor:
    """(height, width, 2) normalised (x, y) of the centres of a grid's cells, float32 on the device of `like`."""
    y = (2 * torch.arange(height, device=like.device, dtype=torch.float32) + 1) / height - 1
    x = (2 * torch.arange(width, device=like.device, dtype=torch.float32) + 1) / width - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def numbers(values: Sequence[float], like: Tensor) -> Tensor:
    """A few numbers of the type and on the device of `like`; on a GPU without the wait that `new_tensor` costs."""
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def doubled(field: Tensor) -> Tensor:
    """(B, C, 2h, 2w) bilinear; beyond the outer centres it goes on straight, so that an affine warp stays exact."""
    padded = torch.cat([2 * field[..., :1] - field[..., 1:2], field, 2 * field[..., -1:] - field[..., -2:-1]], -1)
    padded = torch.cat(
        [2 * padded[..., :1, :] - padded[..., 1:2, :], padded, 2 * padded[..., -1:, :] - padded[..., -2:-1, :]], -2
    )
    return F.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)[..., 2:-2, 2:-2]


def jacobian(warp: Tensor, moving_shape: tuple[int, int]) -> Tensor:
    """(B, 4, h, w) change of the position in moving, in its cells, for one cell to the right and one down in fixed.

    Args:
        warp: (B, h, w, 2) normalised.
        moving_shape: cells of moving (height, width) at the same stride.
    """
    cells = warp * numbers([moving_shape[1] / 2, moving_shape[0] / 2], warp)
    padded = F.pad(cells.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
    right = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return torch.cat([right, down], 1)
