"""Radar: looks from aside, so that what is high lies nearer, walls answer twice, and everything glitters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.curves import quantiles
from xmatch.synth.modalities.draws import chance, direction, uniform, white
from xmatch.synth.modalities.filters import slopes
from xmatch.synth.modalities.radar import speckle
from xmatch.synth.worlds.ground import Ground, shaded
from xmatch.synth.worlds.layout import of_number, table


def radar(ground: Ground, rng: torch.Generator) -> Tensor:
    """(B, 1, H, W) in [0, 1]: backscatter in decibels by kind of surface, slope and wall, laid over, under speckle."""
    like = ground.height
    cos, sin = direction(like, rng)
    decibels = _surface(ground, rng)
    along_x, along_y = slopes(ground.terrain)
    decibels = decibels + uniform(like, rng, 0.0, 8.0) * (cos * along_x + sin * along_y).clamp(-1.5, 1.5)
    # Wall and ground make a corner: both answer where the wall faces the sensor.
    wall_x, wall_y = slopes(ground.height - ground.terrain)
    facing = -(cos * wall_x + sin * wall_y)
    decibels = decibels + uniform(like, rng, 2.0, 14.0) * (facing - 0.3).clamp(0.0, 1.5)
    decibels = decibels - uniform(like, rng, 0.0, 10.0) * shaded(ground.height, cos, sin, uniform(like, rng, 0.6, 1.5))
    decibels = decibels + 9.0 * (white(like, rng) > 3.2) * ground.building
    power = 0.23026 * _laid_over(decibels, ground.height, cos, sin, rng) + speckle(like, rng, (1.0, 16.0)).log()
    low, high = quantiles(power, 0.02, 0.985)
    logarithmic = (power - low) / (high - low).clamp_min(0.4)
    amplitude = torch.exp(0.5 * (power - high)) * uniform(like, rng, 0.6, 1.0)
    pick = chance(like, rng, 0.5)
    return (pick * logarithmic + (1 - pick) * amplitude).clamp(0.0, 1.0)


def _surface(ground: Ground, rng: torch.Generator) -> Tensor:
    like = ground.height
    spread = uniform(like, rng, 1.0, 6.0)
    out = -10 + spread * (of_number(ground.parcel, table(like, rng)) - 0.5) * 2
    out = out + uniform(like, rng, 0.0, 1.5) * ground.texture[:, 1:2]
    out = out + ground.lane * uniform(like, rng, -2.0, 5.0) * chance(like, rng, 0.6)
    out = out + ground.trees * (-7 + 1.5 * ground.texture[:, 2:] - out)
    out = out + ground.water * (uniform(like, rng, -24.0, -16.0) - out)
    out = out + ground.road * (uniform(like, rng, -20.0, -12.0) - out) * chance(like, rng, 0.8)
    return out + ground.building * uniform(like, rng, 0.0, 8.0)


def _laid_over(image: Tensor, height: Tensor, cos: Tensor, sin: Tensor, rng: torch.Generator) -> Tensor:
    """Each point moved towards the sensor by its height. Looked up backwards at the height found there: where two
    points fall together the image shows one, while radar would add them."""
    lean = uniform(height, rng, 0.0, 1.0)
    size = height.new_tensor([height.shape[-1], height.shape[-2]])
    toward = torch.cat([cos, sin], 1)[:, :, 0, 0][:, None, None] / size * 2
    grid = F.affine_grid(torch.eye(2, 3, device=height.device).expand(len(height), 2, 3), list(height.shape), False)
    moved = F.grid_sample(height, grid, padding_mode="border", align_corners=False)
    moved = moved - height.mean((2, 3), keepdim=True)
    shift = (lean * moved).permute(0, 2, 3, 1) * toward
    return F.grid_sample(image, grid - shift, padding_mode="border", align_corners=False)
