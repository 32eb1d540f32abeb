"""Where a cell's likeness lies in another image: nearest neighbours of features, and between cells.

Positions are (x, y) in cells, the corner of the first cell at (0, 0).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Refinement = Literal["nearest", "soft-argmax"]

WINDOW = 7
"""Cells a side that the soft-argmax looks at around the nearest one: "--soft_eval" of the authors."""
SHARPNESS = 14.3
"""Of its softmax over cosines: beta of the flow loss (1 / 0.07) that the semantic feature is trained with."""
_MOST = 2**24
"""Similarities that are held at once."""


class Located(NamedTuple):
    """Where queries were found."""

    xy: Tensor
    """(N, 2) cells."""
    similarity: Tensor
    """(N,) cosine of the nearest cell."""


def described(features: Tensor, xy: Tensor) -> Tensor:
    """(N, C) of length 1: features (C, h, w) between their cells.

    Args:
        xy: (N, 2) cells; beyond the border the border repeats.
    """
    height, width = features.shape[1:]
    at = xy.to(features) * (2.0 / features.new_tensor([width, height])) - 1.0
    found = F.grid_sample(features[None], at[None, None], align_corners=False, padding_mode="border")
    return F.normalize(found[0, :, 0].T, dim=1)


def nearest(queries: Tensor, features: Tensor, cells: Tensor, refinement: Refinement = "soft-argmax") -> Located:
    """The cells that are most like each query.

    Args:
        queries: (N, C) of length 1.
        features: (C, h, w) of length 1.
        cells: (h, w) bool, those that may be found; at least one.
        refinement: "nearest": the centre of the nearest cell; "soft-argmax": the mean place of the `WINDOW` around it,
            weighted by the softmax of similarity.
    """
    height, width = cells.shape
    flat, barred = features.flatten(1), ~cells.flatten()
    places, best = [], []
    for part in queries.split(max(1, _MOST // (height * width))):
        similarity = (part @ flat).masked_fill(barred, -torch.inf)
        top, index = similarity.max(1)
        best.append(top)
        if refinement == "nearest":
            places.append(centres(index, width))
        else:
            places.append(_soft_argmax(similarity.unflatten(1, (height, width)), index, top))
    if not places:
        return Located(queries.new_zeros((0, 2)), queries.new_zeros(0))
    return Located(torch.cat(places), torch.cat(best))


def mutual_nearest(fixed: Tensor, moving: Tensor, fixed_cells: Tensor, moving_cells: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) numbers of cells of either image that are each other's nearest, row by row.

    Args:
        fixed: (C, h, w) of length 1.
        moving: (C, h', w').
        fixed_cells: (h, w) bool, those that may be matched.
        moving_cells: (h', w').
    """
    rows, columns = (cells.flatten().nonzero()[:, 0] for cells in (fixed_cells, moving_cells))
    if not len(rows) or not len(columns):
        return rows[:0], columns[:0]
    a, b = fixed.flatten(1)[:, rows].T, moving.flatten(1)[:, columns]
    there = []
    best = a.new_full((len(columns),), -torch.inf)
    back = torch.zeros_like(columns)
    start = 0
    for part in a.split(max(1, _MOST // len(columns))):
        similarity = part @ b
        there.append(similarity.argmax(1))
        top, index = similarity.max(0)
        better = top > best
        best, back = torch.where(better, top, best), torch.where(better, index + start, back)
        start += len(part)
    partner = torch.cat(there)
    kept = back[partner] == torch.arange(len(rows), device=rows.device)
    return rows[kept], columns[partner[kept]]


def centres(cells: Tensor, width: int) -> Tensor:
    """(N, 2) of cells by their numbers, row by row."""
    return torch.stack([cells % width, cells // width], -1) + 0.5


def _soft_argmax(similarity: Tensor, index: Tensor, top: Tensor) -> Tensor:
    """(N, 2) of (N, h, w) around the cells (N,) of highest similarity (N,)."""
    height, width = similarity.shape[1:]
    steps = torch.arange(WINDOW, device=index.device) - WINDOW // 2
    y = (index // width)[:, None, None] + steps[:, None]
    x = (index % width)[:, None, None] + steps[None]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    row = torch.arange(len(index), device=index.device)[:, None, None]
    around = similarity[row, y.clamp(0, height - 1), x.clamp(0, width - 1)]
    weight = (SHARPNESS * (around - top[:, None, None])).exp() * inside
    weight = weight / weight.sum((1, 2), keepdim=True)
    return torch.stack([(weight * (x + 0.5)).sum((1, 2)), (weight * (y + 0.5)).sum((1, 2))], -1)
