"""From matched cells to matched places: a pair of pixels of their windows, then a place within a pixel of moving."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.networks.cell_masks import CELL_PX
from xmatch.networks.cell_matching import points_at, windows_at
from xmatch.networks.eloftr.config import FINEST_CHANNELS

REGRESSION_TEMPERATURE = 10.0
"""Of the softmax over 3 x 3 pixels, as published weights were trained with."""
_WINDOWS = 1024
"""Pairs of windows that are compared at once."""
_SIDE = CELL_PX + 2
"""Of moving's windows: a pixel more on each side than a cell has."""


def refined(fixed: Tensor, moving: Tensor, fixed_cells: Tensor, moving_cells: Tensor) -> tuple[Tensor, Tensor]:
    """(M, 2) and (M, 2) px, corner-counted, of matched cells.

    Args:
        fixed: (C, H, W) features at every pixel.
        moving: (C, H', W').
        fixed_cells: (M,) numbers of cells.
        moving_cells: (M,).
    """
    parts = [
        _refined(fixed, moving, fixed_cells[start : start + _WINDOWS], moving_cells[start : start + _WINDOWS])
        for start in range(0, max(1, len(fixed_cells)), _WINDOWS)
    ]
    return torch.cat([here for here, _ in parts]), torch.cat([there for _, there in parts])


def _refined(fixed: Tensor, moving: Tensor, fixed_cells: Tensor, moving_cells: Tensor) -> tuple[Tensor, Tensor]:
    columns = fixed.shape[2] // CELL_PX, moving.shape[2] // CELL_PX
    here = windows_at(fixed, fixed_cells, columns[0], CELL_PX, CELL_PX, 0)
    there = windows_at(moving, moving_cells, columns[1], _SIDE, CELL_PX, 1)
    channels = here.shape[-1]
    coarse = here[..., :-FINEST_CHANNELS] / channels @ there[..., :-FINEST_CHANNELS].transpose(1, 2)
    both = coarse.softmax(1) * coarse.softmax(2)
    inner = both.view(-1, CELL_PX**2, _SIDE, _SIDE)[..., 1:-1, 1:-1].flatten(1)
    best = inner.argmax(1)
    pixel, partner = best // CELL_PX**2, best % CELL_PX**2
    # What tells the place within a pixel was trained on the 3 x 3 pixels that end with the partner's own row and
    # column, of windows of 10 x 10, and on those of the far side where they would begin before the window.
    around = torch.arange(-1, 2, device=best.device)
    rows = (partner // CELL_PX)[:, None] + around
    lines = (partner % CELL_PX)[:, None] + around
    at = (rows % _SIDE)[:, :, None] * _SIDE + (lines % _SIDE)[:, None, :]
    number = torch.arange(len(best), device=best.device)
    nine = there[number[:, None], at.flatten(1), -FINEST_CHANNELS:]
    finest = (nine @ here[number, pixel, -FINEST_CHANNELS:, None])[..., 0] / FINEST_CHANNELS**0.5
    weight = (finest / REGRESSION_TEMPERATURE).softmax(1).view(-1, 3, 3)
    shift = torch.stack([(weight.sum(1) * around).sum(1), (weight.sum(2) * around).sum(1)], -1)
    return (
        points_at(fixed_cells, columns[0], CELL_PX) + _within_window(pixel),
        points_at(moving_cells, columns[1], CELL_PX) + _within_window(partner) + shift,
    )


def _within_window(pixel: Tensor) -> Tensor:
    """(M, 2) px from a cell's point to a pixel of its window, which lies half before it."""
    return points_at(pixel, CELL_PX, 1) - (CELL_PX / 2 - 0.5)
