"""What a camera adds to any scene: blur, lost resolution, contrast, uneven light, noise."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import looked_up, quantiles, rising_table
from xmatch.synth.modalities.draws import blobs, chance, log_uniform, uniform, white
from xmatch.synth.modalities.filters import blurred


def exposed(
    image: Tensor,
    rng: torch.Generator,
    *,
    blur_px: tuple[float, float] = (0.3, 1.0),
    noise: float = 0.03,
    contrast: tuple[float, float] = (0.4, 1.0),
) -> Tensor:
    """(B, 1, H, W) in [0, 1]: stretched, through a curve, blurred, with noise.

    Args:
        blur_px: range of the blur's standard deviation.
        noise: largest standard deviation of the noise.
        contrast: range of the share of [0, 1] that the picture fills.
    """
    soft = blurred(image, uniform(image, rng, *blur_px), max(1, round(3 * blur_px[1])))
    low, high = quantiles(soft, 0.01, 0.99)
    part = ((soft - low) / (high - low).clamp_min(0.02)).clamp(-0.2, 1.3)
    # Half of the pictures keep even steps; in them, what lies beyond the stretch is not yet cut off.
    bent = uniform(image, rng, 0.0, 1.0) * chance(image, rng, 0.5)
    tone = part + bent * (looked_up(part, rising_table(image, rng, 9)) - part)
    share = uniform(image, rng, *contrast)
    offset = uniform(image, rng, 0.0, 1.0) * (1 - share)
    uneven = uniform(image, rng, 0.0, 0.08) * blobs(image, rng, 2)
    grain = log_uniform(image, rng, 0.1 * noise, noise) * white(image, rng)
    return (tone * share + offset + uneven + grain).clamp(0.0, 1.0)
