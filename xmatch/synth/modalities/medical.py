"""Scanners of tissue: another contrast between the same tissues, uneven gain, blur, and the noise of a magnitude."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import looked_up, mixed_table, stretched
from xmatch.synth.modalities.draws import blobs, chance, clutter, uniform, white
from xmatch.synth.modalities.filters import blurred, flattened, gray, widely_blurred


@dataclass(frozen=True)
class Medical:
    """A smooth curve of grey levels, rising, falling or neither; bias field, blur (now and then as in PET), Rice noise.

    What is black stays black in most images, as the air around a patient does.
    """

    name: str = "medical"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        luma = stretched(gray(image))
        smooth = flattened(luma, uniform(image, rng, 0.02, 0.35))
        out = looked_up(smooth, mixed_table(image, rng, inverted=0.35, wavy=0.5))
        window = uniform(image, rng, 0.2, 1.0)
        out = ((out - uniform(image, rng, 0.0, 1.0) * (1 - window)) / window).clamp(0.0, 1.0)
        air = (luma * 25).clamp(0.0, 1.0)
        keep = chance(image, rng, 0.8)
        out = out * (keep * air + 1 - keep)
        out = out * (1 + uniform(image, rng, 0.0, 0.25) * blobs(image, rng, 3)).clamp(0.3, 1.7)
        out = out * (1 + 0.3 * uniform(image, rng, 0.0, 1.0) ** 2 * clutter(image, rng, 0.8, 4.0))
        # Emission tomography sees a few mm; the others are sharp.
        coarse = chance(image, rng, 0.3)
        sharp = blurred(out, uniform(image, rng, 0.0, 1.2), 3)
        out = sharp + coarse * (widely_blurred(out, uniform(image, rng, 2.5, 7.0)) - sharp)
        level = uniform(image, rng, 0.0, 0.06)
        real, imaginary = (level * white(image, rng, 2)).split(1, 1)
        return ((out + real) ** 2 + imaginary**2).sqrt().clamp(0.0, 1.0)
