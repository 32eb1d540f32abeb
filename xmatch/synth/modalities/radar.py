"""Synthetic aperture radar, as far as an optical image can suggest it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import (
    looked_up,
    mixed_table,
    quantiles,
    random_contrast,
    stretched,
)
from xmatch.synth.modalities.draws import chance, clutter, direction, log_uniform, patches, uniform, white
from xmatch.synth.modalities.filters import (
    blurred,
    convolved,
    gaussian,
    gray,
    grown,
    shrunk,
    slopes,
    widely_blurred,
)
from xmatch.synth.modalities.regions import of_region, regions


@dataclass(frozen=True)
class Sar:
    """Backscatter by kind of surface, lit from a side, with bright edges and points, under speckle.

    Decibels add up: kinds of surface and a curve of brightness, roughness, thin lines (roads are smooth, hedges are
    not), slopes and edges that face the look direction or turn away, bright points; clutter of the surface itself.
    Speckle multiplies the power by a gamma variate of L looks and mean 1. The display is logarithmic or the amplitude.
    """

    name: str = "sar"
    looks: tuple[float, float] = (1.0, 16.0)
    kinds: int = 3

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        # The logarithm of the power: one decibel is 0.23.
        power = 0.23026 * self._decibels(image, luma, rng) + speckle(image, rng, self.looks).log()
        low, high = quantiles(power, 0.02, 0.985)
        logarithmic = ((power - low) / (high - low).clamp_min(0.4)).clamp(0.0, 1.0)
        amplitude = torch.exp(0.5 * (power - high) + 0.5 * uniform(image, rng, 0.3, 1.0).log()).clamp_max(1.0)
        pick = chance(image, rng, 0.5)
        return random_contrast(pick * logarithmic + (1 - pick) * amplitude, rng, 0.6).clamp(0.0, 1.0)

    def _decibels(self, image: Tensor, luma: Tensor, rng: torch.Generator) -> Tensor:
        label = regions(image, rng, 2, self.kinds, (0.6, 3.0))
        kinds = of_region(label, uniform(image, rng, 0.0, 1.0, self.kinds).reshape(-1, 1, self.kinds))
        tone = looked_up(luma, mixed_table(luma, rng, inverted=0.25, wavy=0.2))
        share = uniform(luma, rng, 0.0, 1.0)
        strength = uniform(luma, rng, 4.0, 16.0)
        surface = (strength * share) * kinds + (strength * (1 - share)) * tone
        cos, sin = direction(luma, rng)
        thin = luma - widely_blurred(luma, uniform(luma, rng, 3.0, 8.0))
        lines = (uniform(luma, rng, -9.0, 6.0) * 4) * thin.clamp(-0.25, 0.25)
        # Walls and roofs that throw the beam straight back: bright points among what is brighter than around it.
        points = uniform(luma, rng, 0.0, 12.0) * (6 * thin - uniform(luma, rng, 0.3, 1.2)).clamp(0.0, 1.5)
        seen = surface + lines + points + self._edges(luma, cos, sin, rng)
        # What covers the ground scatters by itself, and hides the rest here and there.
        hidden = uniform(luma, rng, 0.0, 1.0) * patches(luma, rng, 0.0, 0.7)
        return seen * (1 - hidden) + grown(self._ground(shrunk(luma, 2), shrunk(thin, 2), cos, sin, rng), luma)

    def _edges(self, luma: Tensor, cos: Tensor, sin: Tensor, rng: torch.Generator) -> Tensor:
        along_x, along_y = slopes(blurred(luma, uniform(luma, rng, 0.6, 1.3), 3))
        strength = (along_x**2 + along_y**2).sqrt()
        edge = ((7.2 * cos) * along_x + (7.2 * sin) * along_y + 4.8 * strength).clamp(-0.6, 1.5)
        return uniform(luma, rng, 0.0, 8.0) * chance(luma, rng, 0.6) * edge

    def _ground(self, luma: Tensor, thin: Tensor, cos: Tensor, sin: Tensor, rng: torch.Generator) -> Tensor:
        """What is broad enough to be computed at half the size: slopes, roughness, clutter."""
        along_x, along_y = slopes(blurred(luma, uniform(luma, rng, 0.7, 2.0), 6))
        facing = cos * along_x + sin * along_y
        # Flat and rugged land alike get their share of light and shade.
        facing = (facing / (2.5 * facing.abs().mean((2, 3), keepdim=True) + 1e-3)).clamp(-1.0, 1.0)
        rough = stretched(widely_blurred(thin.abs(), uniform(luma, rng, 2.0, 4.0), 2), 0.01, 0.02)
        return (
            uniform(luma, rng, 0.0, 6.0) * chance(luma, rng, 0.5) * facing
            + uniform(luma, rng, 0.0, 7.0) * rough
            + uniform(luma, rng, 0.0, 3.5) * clutter(luma, rng, 0.5, 2.0)
        )


def speckle(image: Tensor, rng: torch.Generator, looks: tuple[float, float]) -> Tensor:
    """(B, 1, H, W) gamma variates of mean 1 and shape L, each image with its own L and its own correlation length.

    A normal field is blurred, brought back to unit variance, and turned into a gamma field by the cube of Wilson and
    Hilferty (PNAS 17, 1931): nothing costlier than the normal field itself is drawn. At L = 1 the spread comes out
    1 % low, and 0.4 % of the px are as good as dark.
    """
    count = log_uniform(image, rng, *looks)
    kernel = gaussian(uniform(image, rng, 0.0, 0.9), 2)
    kernel = kernel / (kernel**2).sum(1, keepdim=True).sqrt()
    field = convolved(white(image, rng), kernel)
    return (1 - 1 / (9 * count) + field / (3 * count.sqrt())).clamp_min(1e-3) ** 3
