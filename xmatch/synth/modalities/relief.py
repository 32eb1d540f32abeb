"""Shape instead of brightness: depth and surface normals, guessed from the image's regions.

Nothing here knows the true shape. Regions of one brightness and colour become planes, brightness within them a slight
relief; what a matcher can learn from it is that outlines survive while texture and grey levels do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import random_contrast, stretched
from xmatch.synth.modalities.draws import blobs, chance, direction, positions, uniform, white
from xmatch.synth.modalities.filters import blurred, gray, slopes, widely_blurred
from xmatch.synth.modalities.regions import of_region, regions


@dataclass(frozen=True)
class Depth:
    """A ramp over the whole view, a plane for each kind of surface, hardly any texture; depth or its inverse."""

    name: str = "depth"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        label = regions(image, rng, 2, 5, (2.5, 10.0))
        offset, tilt_x, tilt_y = of_region(label, uniform(image, rng, 0.0, 1.0, 15).reshape(-1, 3, 5)).split(1, 1)
        down, across = (2 * share - 1 for share in positions(image))
        down = down[:, None]
        cos, sin = direction(image, rng)
        # Most views look at a ground that comes nearer downwards.
        cos, sin = 0.5 * cos, 0.5 * sin + chance(image, rng, 0.6)
        depth = 2.5 + uniform(image, rng, 0.3, 1.5) * (cos * across + sin * down)
        depth = depth + uniform(image, rng, 0.4, 1.6) * (offset - 0.5)
        depth = depth + uniform(image, rng, 0.0, 0.8) * ((tilt_x - 0.5) * across + (tilt_y - 0.5) * down)
        relief = widely_blurred(gray(image), uniform(image, rng, 2.0, 8.0))
        depth = depth + uniform(image, rng, -0.6, 0.6) * relief + uniform(image, rng, 0.0, 0.25) * blobs(image, rng, 3)
        depth = depth.clamp_min(0.3)
        inverse = chance(image, rng, 0.5)
        depth = inverse / depth + (1 - inverse) * depth
        depth = blurred(depth, uniform(image, rng, 0.4, 2.5), 6)
        out = stretched(depth, 0.003, 0.02)
        flip = chance(image, rng, 0.5)
        out = random_contrast(flip + (1 - 2 * flip) * out, rng, 0.5)
        return (out + uniform(image, rng, 0.0, 0.006) * white(image, rng)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Normal:
    """Unit normals as (n + 1) / 2: a direction for each kind of surface, bent by brightness taken as relief."""

    name: str = "normal"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        label = regions(image, rng, 2, 4, (1.5, 6.0))
        facing = of_region(label, uniform(image, rng, -0.5, 0.5, 8).reshape(-1, 2, 4)) * uniform(image, rng, 0.2, 2.5)
        luma = stretched(gray(image))
        fine_x, fine_y = slopes(blurred(luma, uniform(image, rng, 0.6, 1.6), 4))
        wide_x, wide_y = slopes(widely_blurred(luma, uniform(image, rng, 3.0, 9.0)))
        sign = 2 * chance(image, rng, 0.5) - 1
        fine, wide = sign * uniform(image, rng, 0.5, 5.0), sign * uniform(image, rng, 4.0, 20.0)
        lean = torch.cat([fine * fine_x + wide * wide_x, fine * fine_y + wide * wide_y], 1) + facing
        lean = lean + uniform(image, rng, -0.5, 0.5, 2)
        lean = blurred(lean, uniform(image, rng, 0.3, 1.2), 3)
        towards = (1 + lean[:, :1] ** 2 + lean[:, 1:] ** 2).rsqrt()
        return (0.5 + 0.5 * torch.cat([-lean * towards, towards], 1)).clamp(0.0, 1.0)
