"""Random numbers per image of a batch: shape (B, 1, 1, 1), so that each image draws its own parameters."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.filters import convolved, gaussian


def uniform(image: Tensor, rng: torch.Generator, low: float, high: float, channels: int = 1) -> Tensor:
    """(B, channels, 1, 1) numbers in [low, high)."""
    drawn = torch.rand((len(image), channels, 1, 1), generator=rng, device=image.device)
    return low + (high - low) * drawn


def log_uniform(image: Tensor, rng: torch.Generator, low: float, high: float) -> Tensor:
    """(B, 1, 1, 1) numbers in [low, high), as many in [1, 2) as in [2, 4)."""
    return uniform(image, rng, math.log(low), math.log(high)).exp()


def chance(image: Tensor, rng: torch.Generator, probability: float) -> Tensor:
    """(B, 1, 1, 1) of 1.0 with that probability, else 0.0."""
    return (uniform(image, rng, 0.0, 1.0) < probability).float()


def direction(image: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (B, 1, 1, 1) each, of an angle uniform over the circle."""
    angle = uniform(image, rng, 0.0, 2 * math.pi)
    return angle.cos(), angle.sin()


def white(image: Tensor, rng: torch.Generator, channels: int = 1) -> Tensor:
    """(B, channels, H, W) of independent standard normal numbers."""
    size = (len(image), channels, *image.shape[-2:])
    return torch.randn(size, generator=rng, device=image.device)


def blobs(image: Tensor, rng: torch.Generator, cells: int) -> Tensor:
    """(B, 1, H, W) of smooth noise through about `cells` x `cells` standard normal knots."""
    height, width = image.shape[-2:]
    knots = torch.randn((len(image), 1, cells + 2, cells + 2), generator=rng, device=image.device)
    # Cubic on a small grid, then linear: a cubic up to the full size costs five times as much.
    small = (min(height, max(4 * cells, height // 8)), min(width, max(4 * cells, width // 8)))
    smooth = F.interpolate(knots, small, mode="bicubic", align_corners=False)
    return F.interpolate(smooth, (height, width), mode="bilinear", align_corners=False)


def clutter(image: Tensor, rng: torch.Generator, low: float, high: float) -> Tensor:
    """(B, 1, H, W) of texture that is not in the image: noise of unit variance, blurred by `low` to `high` px (<= 4).

    Enlarging what was drawn for a smaller image is the cheap way to coarse clutter.
    """
    kernel = gaussian(uniform(image, rng, low, high), 8)
    kernel = kernel / (kernel**2).sum(1, keepdim=True).sqrt()
    return convolved(white(image, rng), kernel)


def patches(image: Tensor, rng: torch.Generator, low: float, high: float) -> Tensor:
    """(B, 1, H, W) in [0, 1]: 1 over a share of about `low` to `high` of each image, 0 elsewhere, soft between."""
    cut = torch.special.ndtri(1 - uniform(image, rng, low, high).clamp(0.01, 0.99))
    # 0.87: standard deviation between knots and on them, taken together.
    return torch.sigmoid(6 * (blobs(image, rng, 6) - 0.87 * cut))


def spots(image: Tensor, rng: torch.Generator, count: int, low: float, high: float) -> Tensor:
    """(B, 1, H, W) sum of `count` round spots of height up to 1; radii (sigma) in [low, high) shares of the side."""
    height, width = image.shape[-2:]
    side = max(height, width)
    radius = side * uniform(image, rng, low, high, count).flatten(1)[..., None]
    strength = uniform(image, rng, 0.0, 1.0, count).flatten(1)[..., None]
    down, across = positions(image)
    y = uniform(image, rng, 0.0, height, count).flatten(1)[..., None]
    x = uniform(image, rng, 0.0, width, count).flatten(1)[..., None]
    rows = torch.exp(-0.5 * ((down * height - y) / radius) ** 2) * strength
    columns = torch.exp(-0.5 * ((across * width - x) / radius) ** 2)
    return (rows.transpose(1, 2) @ columns)[:, None]


def positions(image: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the height (H,) and of the width (W,) at which the pixel centres lie."""
    height, width = image.shape[-2:]
    down = (torch.arange(height, device=image.device) + 0.5) / height
    across = (torch.arange(width, device=image.device) + 0.5) / width
    return down, across
