"""RoMa's coarse stage: a Gaussian process tells where each cell may lie, a transformer chooses among anchors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from xmatch.networks.grids import cell_centres
from xmatch.networks.roma.config import RomaConfig
from xmatch.networks.vit import Block

TEMPERATURE = 0.2
"""Of the kernel exp((cosine - 1) / T), which is not learned."""
NOISE = 0.1
"""Variance of what is observed."""
FREQUENCY = 8 * math.pi
"""Of the cosines that positions are encoded in."""


class PositionPosterior(nn.Module):
    """Where in moving each cell of fixed may lie: the mean of a Gaussian process from features to encoded positions.

    Attributes:
        solved: what solves its equations.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.solved: Callable[[Tensor, Tensor], Tensor] = by_factors
        self.pos_conv = nn.Conv2d(2, channels, 1)

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Args: features (B, C, h, w) and (B, C, h2, w2).

        Returns:
            (B, channels, h, w), in single precision whatever is around it: a matrix is inverted.
        """
        height, width = fixed.shape[2:]
        with torch.autocast(fixed.device.type, enabled=False):
            places = cell_centres(moving.shape[2], moving.shape[3], fixed).permute(2, 0, 1)[None]
            encoded = torch.cos(FREQUENCY * self.pos_conv(places)).flatten(2).transpose(1, 2)
            a, b = (x.float().flatten(2).transpose(1, 2) for x in (fixed, moving))
            observed = _kernel(b, b) + NOISE * torch.eye(b.shape[1], device=b.device)
            weights = self.solved(observed, encoded.expand(len(b), -1, -1))
            return (_kernel(a, b) @ weights).transpose(1, 2).reshape(len(a), -1, height, width)


def by_factors(observed: Tensor, encoded: Tensor) -> Tensor:
    """x of `observed` x = `encoded`: (B, n, n) symmetric, positive; (B, n, m)."""
    found: Tensor = torch.cholesky_solve(encoded, torch.linalg.cholesky(observed))
    return found


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """(B, n, m) of (B, n, C) and (B, m, C)."""
    first, second = (torch.linalg.vector_norm(x, dim=-1) for x in (a, b))
    lengths: Tensor = first[:, :, None] * second[:, None]
    return ((a @ b.transpose(1, 2) / (lengths + 1e-6) - 1) / TEMPERATURE).exp()


class AnchorDecoder(nn.Module):
    """For each cell, how likely each place of a grid is."""

    def __init__(self, config: RomaConfig) -> None:
        super().__init__()
        width = config.posterior + config.projected[0]
        self.blocks = nn.Sequential(
            *(Block(width, config.heads, biased=False, scaled=False) for _ in range(config.layers))
        )
        self.to_out = nn.Linear(width, config.anchors**2 + 1)

    def forward(self, posterior: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Args: (B, posterior, h, w) and (B, C, h, w).

        Returns:
            (B, h, w, anchors^2) logits and (B, h, w) logits that the cell is seen in moving.
        """
        height, width = features.shape[2:]
        tokens = torch.cat([posterior, features], 1).flatten(2).transpose(1, 2)
        out = self.to_out(self.blocks(tokens)).float().unflatten(1, (height, width))
        return out[..., :-1], out[..., -1]


def anchors(side: int, like: Tensor) -> Tensor:
    """(side^2, 2) normalised centres, row by row."""
    return cell_centres(side, side, like).flatten(0, 1)


def decoded(logits: Tensor) -> Tensor:
    """(B, h, w, 2) the places that (B, h, w, anchors^2) logits tell: the mean of the likeliest anchor and its four
    neighbours, weighted by probability. At the ends of rows a neighbour is that of the next row, as its authors have
    it."""
    count = logits.shape[-1]
    side = math.isqrt(count)
    steps = torch.tensor([-1, 0, 1, -side, side], device=logits.device)
    index = (logits.argmax(-1, keepdim=True) + steps).clamp(0, count - 1)
    weights = logits.gather(-1, index).softmax(-1)
    return (weights[..., None] * anchors(side, logits)[index]).sum(-2)
