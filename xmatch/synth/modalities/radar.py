"""Synthetic aperture radar, as far as an optical image can suggest it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import (
    equalised,
    looked_up,
    mixed_table,
    quantiles,
    random_contrast,
    stepped_table,
    stretched,
)
from xmatch.synth.modalities.draws import chance, direction, log_uniform, uniform, white
from xmatch.synth.modalities.filters import (
    blurred,
    convolved,
    flattened,
    gaussian,
    gray,
    slopes,
    widely_blurred,
)


@dataclass(frozen=True)
class Sar:
    """Backscatter by kind of surface, lit from a side, with bright edges and corners, under speckle.

    Decibels add up: a random curve and random steps of brightness, roughness, slopes that face the look direction
    (and less behind them), edges that face it, corners. Speckle multiplies the power by a gamma variate of L looks
    and mean 1. The display is logarithmic or the amplitude.
    """

    name: str = "sar"
    looks: tuple[float, float] = (1.0, 16.0)

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        power = torch.exp(0.23026 * self._decibels(luma, rng)) * speckle(image, rng, self.looks)
        low, high = quantiles(power, 0.02, 0.985)
        ratio = (high / low.clamp_min(1e-9)).clamp_min(1.5).log()
        logarithmic = ((power.clamp_min(1e-9) / low.clamp_min(1e-9)).log() / ratio).clamp(0.0, 1.0)
        amplitude = (power / high.clamp_min(1e-9) * uniform(image, rng, 0.3, 1.0)).clamp(0.0, 1.0).sqrt()
        pick = chance(image, rng, 0.5)
        return random_contrast(pick * logarithmic + (1 - pick) * amplitude, rng, 0.6).clamp(0.0, 1.0)

    def _decibels(self, luma: Tensor, rng: torch.Generator) -> Tensor:
        smooth = flattened(luma, uniform(luma, rng, 0.03, 0.2))
        rank = equalised(smooth)
        _, steps = stepped_table(luma, rng, 2, 6)
        share = uniform(luma, rng, 0.0, 1.0).reshape(-1, 1)
        table = share * mixed_table(luma, rng, inverted=0.4, wavy=0.4) + (1 - share) * steps[:, 0]
        surface = uniform(luma, rng, 2.0, 14.0) * looked_up(rank, table)
        rough = stretched(widely_blurred((luma - smooth).abs(), uniform(luma, rng, 4.0, 8.0)), 0.01, 0.02)
        cos, sin = direction(luma, rng)
        fine_x, fine_y = slopes(blurred(luma, uniform(luma, rng, 0.6, 1.3), 3))
        wide_x, wide_y = slopes(widely_blurred(luma, uniform(luma, rng, 3.0, 8.0)))
        facing = 30 * (cos * wide_x + sin * wide_y)
        strength = (fine_x**2 + fine_y**2).sqrt()
        edge = (12 * (0.6 * (cos * fine_x + sin * fine_y) + 0.4 * strength)).clamp(-0.6, 1.5)
        curved_x, curved_y = slopes(strength)
        corner = (40 * (curved_x.abs() * curved_y.abs()).sqrt() - 1.2).clamp(0.0, 1.5)
        return (
            surface
            + uniform(luma, rng, 0.0, 7.0) * rough
            + uniform(luma, rng, 0.0, 8.0) * facing.clamp(-1.0, 1.0)
            + uniform(luma, rng, 0.0, 9.0) * edge
            + uniform(luma, rng, 0.0, 9.0) * corner
        )


def speckle(image: Tensor, rng: torch.Generator, looks: tuple[float, float]) -> Tensor:
    """(B, 1, H, W) gamma variates of mean 1 and shape L, each image with its own L and its own correlation length.

    A normal field is blurred, brought back to unit variance, and turned into a gamma field by the cube of Wilson and
    Hilferty (PNAS 17, 1931): nothing costlier than the normal field itself is drawn. At L = 1 the spread comes out
    1 % low, and 0.4 % of the px are exactly dark.
    """
    count = log_uniform(image, rng, *looks)
    kernel = gaussian(uniform(image, rng, 0.0, 0.9), 2)
    kernel = kernel / (kernel**2).sum(1, keepdim=True).sqrt()
    field = convolved(white(image, rng), kernel)
    return (1 - 1 / (9 * count) + field / (3 * count.sqrt())).clamp_min(0.0) ** 3
