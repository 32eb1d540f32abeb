"""Matching the coarse cells of two images, and the windows of fine features around matched ones, sparing memory.

Cells are numbered row by row. Those that are not valid are left out before anything is compared.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS = 512
"""Rows or columns of the similarities that are worked on at once; only one matrix of their full size is held."""


def dual_softmax_matches(
    first: Tensor, second: Tensor, first_cells: Tensor, second_cells: Tensor, temperature: float, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Cells that are each other's likeliest partner, surely enough (Sun et al. 2021).

    Args:
        first: (C, h, w) features.
        second: (C, h', w').
        first_cells: (h, w) bool, which are compared.
        second_cells: (h', w').
        temperature: of the softmax of dot products over C.
        threshold: that the product of both probabilities exceeds.

    Returns:
        (M,) numbers of first's cells, (M,) of second's, (M,) the product of their probabilities.
    """
    similarity, rows, columns = _similarity(first, second, first_cells, second_cells, temperature)
    if not similarity.numel():
        return rows[:0], columns[:0], similarity.new_zeros(0)
    over_rows, over_columns = _log_sum_exp(similarity, 0), _log_sum_exp(similarity, 1)
    log_product = similarity.mul_(2).sub_(over_columns[:, None]).sub_(over_rows)
    best, partner = log_product.max(1)
    sure = best.exp()
    kept = (sure > threshold) & (log_product.amax(0)[partner] == best)
    return rows[kept], columns[partner[kept]], sure[kept]


def either_way_matches(
    first: Tensor, second: Tensor, first_cells: Tensor, second_cells: Tensor, temperature: float, threshold: float
) -> tuple[Tensor, Tensor]:
    """Cells of which one is the other's likeliest partner, surely enough; several may share one (XoFTR, section 3.3).

    Arguments as `dual_softmax_matches`, the threshold for the probability of either direction; (M,) numbers of cells
    of first and of second, in their order.
    """
    similarity, rows, columns = _similarity(first, second, first_cells, second_cells, temperature)
    if not similarity.numel():
        return rows[:0], columns[:0]
    best, partner = similarity.max(1)
    there = (best - _log_sum_exp(similarity, 1)).exp() > threshold
    best, back = similarity.max(0)
    here = (best - _log_sum_exp(similarity, 0)).exp() > threshold
    width = len(columns)
    numbers = torch.arange(max(similarity.shape), device=first.device)
    forward = numbers[: len(rows)][there] * width + partner[there]
    backward = back[here] * width + numbers[:width][here]
    both = torch.cat([forward, backward]).sort().values
    both = both[torch.cat([both.new_ones(1), both.diff()]) > 0]  # those that both ways agree on are there twice
    return rows[both // width], columns[both % width]


def windows_at(features: Tensor, cells: Tensor, columns: int, side: int, stride: int, before: int) -> Tensor:
    """(M, side * side, C) fine features around cells, row by row; zero beyond the image.

    Args:
        features: (C, H, W) fine features.
        cells: (M,) numbers of cells.
        columns: cells a row.
        side: fine features a side of a window.
        stride: fine features a cell.
        before: how far a window begins before its cell.
    """
    behind = max(0, side - before - stride)
    whole = F.pad(features, (before, behind, before, behind))
    steps = torch.arange(side, device=cells.device)
    y = (cells // columns * stride)[:, None] + steps
    x = (cells % columns * stride)[:, None] + steps
    return whole[:, y[:, :, None], x[:, None, :]].permute(1, 2, 3, 0).flatten(1, 2)


def points_at(cells: Tensor, columns: int, stride: int) -> Tensor:
    """(M, 2) the (x, y) that cells stand for, `stride` units apart."""
    return torch.stack([cells % columns, cells // columns], -1) * stride


def _similarity(
    first: Tensor, second: Tensor, first_cells: Tensor, second_cells: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled dot products of valid cells, and the numbers of these."""
    rows, columns = (cells.flatten().nonzero()[:, 0] for cells in (first_cells, second_cells))
    a, b = first.flatten(1)[:, rows], second.flatten(1)[:, columns]
    return (a.T / (first.shape[0] * temperature)) @ b, rows, columns


def _log_sum_exp(matrix: Tensor, dim: int) -> Tensor:
    count = matrix.shape[1 - dim]
    parts = (matrix.narrow(1 - dim, start, min(_ROWS, count - start)) for start in range(0, count, _ROWS))
    sums = []
    for part in parts:
        top = part.amax(dim, keepdim=True)
        # Below that, exp is many times slower on a CPU, and adds nothing to a sum of at least 1.
        sums.append((part - top).clamp_(min=-80.0).exp_().sum(dim).log_() + top.squeeze(dim))
    return torch.cat(sums)
