"""Models of elevation, as grey levels."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import quantiles
from xmatch.synth.modalities.draws import chance, uniform, white
from xmatch.synth.modalities.filters import blurred
from xmatch.synth.worlds.ground import Ground
from xmatch.synth.worlds.patterns import pixel_centres


def depth(ground: Ground, rng: torch.Generator) -> Tensor:
    """Height or distance, with all or part of what stands on the ground; sometimes on a ramp, as seen from aside."""
    like = ground.height
    object_height = (ground.height - ground.terrain).clamp_min(0.0) ** uniform(like, rng, 0.5, 1.0)
    x, y = pixel_centres(like)
    ramp = uniform(like, rng, -0.1, 0.1) * x + uniform(like, rng, -0.1, 0.1) * y
    level = ground.terrain * uniform(like, rng, 0.0, 0.7) ** 2 + object_height + chance(like, rng, 0.3) * ramp
    soft = blurred(level, uniform(like, rng, 0.3, 1.5), 4)
    low, high = quantiles(soft, 0.005, 0.995)
    shown = ((soft - low) / (high - low).clamp_min(0.5)).clamp(0.0, 1.0)
    flip = chance(like, rng, 0.5)
    shown = shown ** uniform(like, rng, 0.5, 1.4)
    share = uniform(like, rng, 0.5, 1.0)
    shown = (flip + (1 - 2 * flip) * shown) * share + uniform(like, rng, 0.0, 1.0) * (1 - share)
    return shown + uniform(like, rng, 0.0, 0.02) * white(like, rng)
