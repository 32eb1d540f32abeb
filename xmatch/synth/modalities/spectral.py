"""Other bands of light: thermal infrared and near infrared, guessed from colour, brightness and texture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import (
    equalised,
    looked_up,
    mixed_table,
    random_contrast,
    stepped_table,
    stretched,
    wavy_table,
)
from xmatch.synth.modalities.draws import blobs, chance, log_uniform, uniform, white
from xmatch.synth.modalities.filters import blurred, flattened, gray, widely_blurred


def chroma(image: Tensor, luma: Tensor) -> tuple[Tensor, Tensor]:
    """Greenness and blueness, (B, 1, H, W) in about [-1, 1].

    A gray image has none; its texture stands in for greenness (trees are rough), its darkness for blueness (water).
    """
    if image.shape[1] == 3:
        red, green, blue = image.unbind(1)
        bright = luma[:, 0] + 0.1
        return ((green - 0.5 * (red + blue)) / bright)[:, None], ((blue - red) / bright)[:, None]
    mean = widely_blurred(luma, torch.full_like(luma[:, :1, :1, :1], 8.0))
    rough = widely_blurred((luma - mean).abs(), torch.full_like(luma[:, :1, :1, :1], 6.0))
    return 4 * rough - 0.3, 0.5 - 1.5 * mean


@dataclass(frozen=True)
class Infrared:
    """Thermal: a temperature for each kind of surface, warm and cool stretches, blur, and the sensor's pattern noise.

    Temperature is any smooth function of brightness mixed with steps by material and with colour; part of the fine
    texture is lost, some cameras sharpen against the surroundings, and either end may be the hot one.
    """

    name: str = "infrared"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        green, blue = chroma(image, luma)
        smooth = flattened(luma, uniform(image, rng, 0.02, 0.2))
        rank = equalised(smooth)
        curve = mixed_table(image, rng, inverted=0.5, wavy=0.5)
        _, steps = stepped_table(image, rng, 2, 6)
        share = uniform(image, rng, 0.0, 0.6).reshape(-1, 1)
        heat = looked_up(rank, (1 - share) * curve + share * steps[:, 0])
        heat = (
            heat
            + uniform(image, rng, -0.5, 0.7) * green.clamp(-1, 1)
            + uniform(image, rng, -0.5, 0.3) * blue.clamp(-1, 1)
        )
        heat = heat + uniform(image, rng, 0.0, 0.15) * blobs(image, rng, 4)
        heat = heat + uniform(image, rng, -0.4, 0.7) * (luma - smooth)
        halo = chance(image, rng, 0.4) * uniform(image, rng, 0.2, 0.8)
        heat = heat - halo * widely_blurred(heat, uniform(image, rng, 4.0, 12.0))
        heat = blurred(heat, uniform(image, rng, 0.2, 1.8), 5)
        out = random_contrast(stretched(heat, 0.005, 0.05) ** log_uniform(image, rng, 0.6, 1.7), rng, 0.3)
        return (out + self._pattern(image, rng)).clamp(0.0, 1.0)

    def _pattern(self, image: Tensor, rng: torch.Generator) -> Tensor:
        """Each detector's own offset, and each column's and row's."""
        height, width = image.shape[-2:]
        columns = torch.randn((len(image), 1, 1, width), generator=rng, device=image.device)
        rows = torch.randn((len(image), 1, height, 1), generator=rng, device=image.device)
        stripes = chance(image, rng, 0.5) * columns + chance(image, rng, 0.2) * rows
        return uniform(image, rng, 0.0, 0.025) * white(image, rng) + uniform(image, rng, 0.0, 0.02) * stripes


@dataclass(frozen=True)
class Nir:
    """Near infrared: the red band with vegetation bright and water dark; little haze, mild noise."""

    name: str = "nir"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        green, blue = chroma(image, luma)
        red = image[:, :1] if image.shape[1] == 3 else looked_up(luma, mixed_table(image, rng, 0.1, 0.1))
        plants = (4 * (green - uniform(image, rng, 0.02, 0.15))).clamp(0.0, 1.0)
        water = (2.5 * (blue - uniform(image, rng, 0.05, 0.4))).clamp(0.0, 1.0) * (1 - luma)
        texture = 0.4 + 0.6 * looked_up(luma, wavy_table(image, rng, 4))
        out = red * (1 - uniform(image, rng, 0.4, 1.0) * plants) + uniform(image, rng, 0.4, 1.0) * plants * texture
        out = out * (1 - uniform(image, rng, 0.5, 1.0) * water)
        out = blurred(out, uniform(image, rng, 0.0, 1.0), 3)
        out = stretched(out, 0.003, 0.05) ** log_uniform(image, rng, 0.7, 1.5)
        return (random_contrast(out, rng, 0.5) + uniform(image, rng, 0.0, 0.03) * white(image, rng)).clamp(0.0, 1.0)
