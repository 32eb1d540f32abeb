"""Radar: looks from aside, so that what is high lies nearer, walls answer twice, and everything glitters."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.curves import quantiles
from xmatch.synth.modalities.draws import chance, direction, uniform, white
from xmatch.synth.modalities.filters import blurred, slopes
from xmatch.synth.modalities.radar import speckle
from xmatch.synth.worlds.ground import THINGS, Ground
from xmatch.synth.worlds.light import lit_slopes, shadow
from xmatch.synth.worlds.patterns import of, pixel_centres, table
from xmatch.synth.worlds.surfaces import Surface, by_surface

DECIBEL = 0.23026
"""A decibel as a step of the natural logarithm of power."""
WALL_STEPS = (0.25, 0.5, 0.75)
"""Heights of a wall, in shares of it, from which it answers."""


def sar(ground: Ground, rng: torch.Generator) -> Tensor:
    """Backscatter by surface and slope, laid over towards the sensor, shadows, double bounces, under speckle."""
    like = ground.roughness
    cos, sin = direction(like, rng)
    object_height = ground.height - ground.terrain
    power = (DECIBEL * _decibels(ground, rng)).exp()
    power = power * lit_slopes(ground.terrain, cos, sin, uniform(like, rng, 0.35, 1.2)).clamp_min(0.05)
    facing = walls(object_height, cos, sin)
    corner = facing**2 * 10 ** uniform(like, rng, 0.0, 2.2)
    hidden = shadow(object_height, cos, sin, uniform(like, rng, 0.5, 1.6))
    power = power * (1 - uniform(like, rng, 0.7, 1.0) * hidden)
    lean = uniform(like, rng, 0.0, 1.0)
    right, down = lean * cos, lean * sin
    seen = layover(power, object_height, right, down)
    wall = 0.4 * facing * uniform(like, rng, 0.0, 6.0)
    for share in WALL_STEPS:
        seen = seen + layover(wall, share * object_height, right, down)
    # Wall and ground make a corner that lies at the foot of the wall, whatever the height.
    seen = seen + corner + _points(ground, rng)
    seen = blurred(seen, uniform(like, rng, 0.3, 0.9), 3)
    return _displayed(seen * speckle(like, rng, (1.0, 10.0)), rng)


def _decibels(ground: Ground, rng: torch.Generator) -> Tensor:
    like = ground.roughness
    range_db = uniform(like, rng, 8.0, 24.0)
    surface = 4 * (table(like, rng, len(Surface)) - 0.5)
    out = range_db * (ground.roughness - 0.5) + of(ground.label, surface)
    spread = of(ground.label, by_surface("spread", like.device).expand(len(like), -1))
    out = out + uniform(like, rng, 4.0, 20.0) * spread * (of(ground.part, table(like, rng, THINGS)) - 0.5)
    return out + uniform(like, rng, 0.0, 2.5) * ground.grain + uniform(like, rng, 0.0, 2.5) * ground.blotch


def walls(object_height: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1]: foot of something steep whose front is turned to the sensor."""
    along_x, along_y = slopes(object_height)
    steep = (along_x**2 + along_y**2).sqrt().clamp_min(1e-3)
    towards = (-(cos * along_x + sin * along_y) / steep).clamp_min(0.0)
    # A front turned away by 20 degrees throws the beam elsewhere.
    return towards**6 * (steep - 0.4).clamp(0.0, 1.0)


def layover(power: Tensor, object_height: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Every px moved towards the sensor by its height; what falls together adds up, as echoes do."""
    height, width = power.shape[-2:]
    x, y = pixel_centres(power)
    column = (x + right * object_height).floor().clamp(0, width - 1)
    row = (y + down * object_height).floor().clamp(0, height - 1)
    place = (row * width + column).to(torch.int64).flatten(1)
    return torch.zeros_like(power).flatten(1).scatter_add_(1, place, power.flatten(1)).reshape(power.shape)


def _points(ground: Ground, rng: torch.Generator) -> Tensor:
    """Single bright points, most of them in towns: railings, poles, corners of roofs."""
    like = ground.roughness
    rare = white(like, rng) > uniform(like, rng, 2.6, 3.6)
    built = (ground.label % len(Surface) >= int(Surface.ROOF)).float()
    return rare.float() * (0.1 + built) * 10 ** uniform(like, rng, 0.5, 1.8)


def _displayed(power: Tensor, rng: torch.Generator) -> Tensor:
    """Logarithmic, or amplitude with bright points cut off: then all but them is dark."""
    logarithm = power.clamp_min(1e-6).log()
    low, high = quantiles(logarithm, 0.02, 0.99)
    decibels = ((logarithm - low) / (high - low).clamp_min(0.4)).clamp(0.0, 1.0)
    (level,) = quantiles(logarithm, 0.95)
    white_at = level + uniform(power, rng, -0.5, 1.6)
    amplitude = torch.exp(0.5 * (logarithm - white_at)).clamp_max(1.0)
    pick = chance(power, rng, 0.35)
    shown = pick * decibels + (1 - pick) * amplitude
    share = uniform(power, rng, 0.6, 1.0)
    return (shown * share + uniform(power, rng, 0.0, 0.6) * (1 - share)).clamp(0.0, 1.0)
