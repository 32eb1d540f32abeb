"""Other bands of light: thermal infrared and near infrared, guessed from colour, brightness and texture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import (
    looked_up,
    mixed_table,
    random_contrast,
    stretched,
    wavy_table,
)
from xmatch.synth.modalities.draws import blobs, chance, clutter, log_uniform, patches, positions, uniform, white
from xmatch.synth.modalities.filters import blurred, flattened, gray, grown, shrunk, widely_blurred
from xmatch.synth.modalities.regions import of_region, regions


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

    Temperatures of the kinds are mixed with a smooth curve of brightness (rising, falling or neither) and with colour;
    the fine texture is partly lost and may be inverted in each kind, some comes from elsewhere; here and there nothing
    but the smooth part is left; some cameras sharpen against the surroundings.
    """

    name: str = "infrared"
    kinds: int = 3

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        smooth = flattened(luma, uniform(image, rng, 0.03, 0.3))
        label = regions(image, rng, 2, self.kinds, (0.5, 2.5))
        share = 0.8 * uniform(image, rng, 0.0, 1.0) ** 2
        kinds = uniform(image, rng, -1.0, 1.0, 2 * self.kinds).reshape(-1, 2, self.kinds)
        kinds[:, 0] = kinds[:, 0] * share[:, 0, 0]
        kinds[:, 1] = (kinds[:, 1] + uniform(image, rng, -1.0, 1.0)[:, 0, 0]) * uniform(image, rng, 0.0, 1.0)[:, 0, 0]
        warmth, texture = of_region(label, kinds).split(1, 1)
        tone = mixed_table(image, rng, inverted=0.4, wavy=0.3) * (1 - share[:, :, 0, 0])
        heat = warmth + looked_up(smooth, tone) + texture * (luma - smooth)
        heat = heat + grown(self._own_heat(shrunk(image, 2), rng), image)
        # A cold sky, or a warm ground close by.
        heat = heat + chance(image, rng, 0.3) * uniform(image, rng, -0.3, 0.9) * positions(image)[0][:, None]
        halo = chance(image, rng, 0.4) * uniform(image, rng, 0.2, 0.8)
        faded = uniform(image, rng, 0.0, 1.0) * patches(image, rng, 0.0, 0.6)
        heat = heat * (1 - faded) + (faded - halo) * widely_blurred(heat, uniform(image, rng, 4.0, 12.0))
        heat = blurred(heat, uniform(image, rng, 0.2, 1.8), 5)
        out = random_contrast(stretched(heat, 0.005, 0.05) ** log_uniform(image, rng, 0.6, 1.7), rng, 0.3)
        return (out + self._pattern(image, rng)).clamp(0.0, 1.0)

    def _own_heat(self, image: Tensor, rng: torch.Generator) -> Tensor:
        """Of colours, and of what the image does not show; smooth enough to be computed at half the size."""
        green, blue = chroma(image, gray(image))
        return (
            uniform(image, rng, -0.5, 0.7) * green.clamp(-1.0, 1.0)
            + uniform(image, rng, -0.5, 0.3) * blue.clamp(-1.0, 1.0)
            + 0.15 * uniform(image, rng, 0.0, 1.0) ** 2 * clutter(image, rng, 0.5, 4.0)
            + uniform(image, rng, 0.0, 0.12) * blobs(image, rng, 4)
        )

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
        red = image[:, :1] if image.shape[1] == 3 else looked_up(luma, mixed_table(image, rng, 0.1, 0.2))
        plants = (4 * (green - uniform(image, rng, 0.02, 0.15))).clamp(0.0, 1.0)
        water = (2.5 * (blue - uniform(image, rng, 0.05, 0.4))).clamp(0.0, 1.0) * (1 - luma)
        red = red + uniform(image, rng, 0.0, 0.06) * clutter(image, rng, 0.8, 3.0)
        texture = 0.4 + 0.6 * looked_up(luma, wavy_table(image, rng, 4))
        out = red * (1 - uniform(image, rng, 0.4, 1.0) * plants) + uniform(image, rng, 0.4, 1.0) * plants * texture
        out = out * (1 - uniform(image, rng, 0.5, 1.0) * water)
        out = blurred(out, uniform(image, rng, 0.0, 1.0), 3)
        out = stretched(out, 0.003, 0.05) ** log_uniform(image, rng, 0.7, 1.5)
        return (random_contrast(out, rng, 0.5) + uniform(image, rng, 0.0, 0.03) * white(image, rng)).clamp(0.0, 1.0)
