"""Land and towns in reflected light: by day, in another year, in the near infrared, by night."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import chance, direction, spots, uniform, white
from xmatch.synth.modalities.filters import widely_blurred
from xmatch.synth.worlds.film import exposed
from xmatch.synth.worlds.ground import THINGS, Ground
from xmatch.synth.worlds.light import lit_slopes, shadow
from xmatch.synth.worlds.patterns import chosen, fractal, of, table
from xmatch.synth.worlds.surfaces import Surface, by_surface


def optical(ground: Ground, rng: torch.Generator) -> Tensor:
    """By day: what the ground reflects, slopes towards the sun, shadows; sometimes haze or a few clouds."""
    return exposed(_sunlit(ground, ground.albedo, rng), rng)


def optical_later(ground: Ground, rng: torch.Generator) -> Tensor:
    """Another season, sun and year: fields anew, some buildings and trees gone, other cars."""
    later = _changed(ground, rng)
    like = ground.albedo
    # By how much each surface looks otherwise: crops altogether, roofs hardly.
    lasting = torch.tensor([kind in (Surface.ROOF, Surface.ROAD, Surface.WATER) for kind in Surface]).to(like)
    turned = (1 - 0.7 * lasting) * (0.4 + 0.6 * table(like, rng, len(Surface)))
    season = table(like, rng, len(Surface)) - 0.5
    fresh = of(later.part, table(like, rng, THINGS)) - 0.5
    amount = of(later.label, turned)
    spread = of(later.label, by_surface("spread", like.device).expand(len(like), -1))
    faded = later.albedo + 0.8 * amount * (0.5 - later.albedo)
    moved = faded + amount * (1.5 * spread * fresh + 0.7 * of(later.label, season))
    moved = moved + 0.08 * amount * fractal(like, rng, uniform(like, rng, 0.6, 1.6), 0.3)
    return exposed(_sunlit(later, moved.clamp(0.02, 1.0), rng), rng, contrast=(0.3, 1.0))


def near_infrared(ground: Ground, rng: torch.Generator) -> Tensor:
    """Plants bright, water black, the rest as by day or near it."""
    like = ground.albedo
    green = by_surface("green", like.device).expand(len(like), -1)
    vigour = 0.4 + 0.8 * of(ground.part, table(like, rng, THINGS))
    plants = of(ground.label, green * uniform(like, rng, 0.6, 1.0)[:, 0, 0]) * vigour
    water = (ground.label % len(Surface) == int(Surface.WATER)).float()
    seen = ground.albedo * uniform(like, rng, 0.2, 0.7) + uniform(like, rng, 0.4, 0.8) * plants + 0.05 * ground.grain
    return exposed(_sunlit(ground, (seen * (1 - 0.9 * water)).clamp(0.0, 1.0), rng), rng)


def night(ground: Ground, rng: torch.Generator) -> Tensor:
    """Lamps along roads and what they shine upon, lit windows and fronts, lights of cars; else dark, and noise."""
    like = ground.albedo
    near_road = (ground.road_px < 2.0).float()
    lamps = (white(like, rng) > uniform(like, rng, 2.2, 3.4)).float() * near_road
    lamps = lamps * (1 + uniform(like, rng, 0.0, 2.0) * (ground.main_px < 2.0).float())
    pool = widely_blurred(lamps, uniform(like, rng, 4.0, 8.0)) * uniform(like, rng, 20.0, 90.0)
    pool = pool + uniform(like, rng, 0.0, 0.5) * chance(like, rng, 0.6) * near_road
    label = ground.label % len(Surface)
    roof = (label == int(Surface.ROOF)).float()
    lit = (of(ground.part, table(like, rng, THINGS)) < uniform(like, rng, 0.0, 0.5)).float()
    fronts = roof * lit * ((ground.inside_px < 1.5).float() + uniform(like, rng, 0.0, 0.5) * chance(like, rng, 0.3))
    cars = (label == int(Surface.CAR)).float() * (of(ground.part, table(like, rng, THINGS)) < 0.5).float()
    trace = _sunlit(ground, ground.albedo, rng) * uniform(like, rng, 0.01, 0.25)
    seen = trace + pool * ground.albedo + uniform(like, rng, 0.2, 1.2) * fronts + cars + lamps
    seen = seen + uniform(like, rng, 0.0, 0.3) * spots(like, rng, 5, 0.01, 0.08)
    return exposed(seen.sqrt().clamp_max(1.3), rng, noise=0.1, blur_px=(0.4, 1.6), contrast=(0.3, 1.0))


def _sunlit(ground: Ground, albedo: Tensor, rng: torch.Generator) -> Tensor:
    cos, sin = direction(albedo, rng)
    steep = uniform(albedo, rng, 0.5, 2.5)
    light = lit_slopes(ground.height, cos, sin, steep)
    diffuse = uniform(albedo, rng, 0.2, 0.9)
    dark = shadow(ground.height, cos, sin, steep) * uniform(albedo, rng, 0.3, 1.0)
    seen = albedo * (diffuse + (1 - diffuse) * light * (1 - dark)) * (1 - 0.5 * dark * (1 - diffuse))
    cover = 2 * fractal(albedo, rng, uniform(albedo, rng, 1.4, 2.0)) - uniform(albedo, rng, 1.5, 5.0)
    cloudy = chance(albedo, rng, 0.06) * torch.sigmoid(2 * cover)
    return seen + cloudy * (uniform(albedo, rng, 0.7, 1.0) - seen)


def _changed(ground: Ground, rng: torch.Generator) -> Ground:
    """Some buildings and trees, and half of the cars, gone."""
    like = ground.albedo
    share = torch.zeros((len(like), len(Surface)), device=like.device)
    share[:, Surface.ROOF] = uniform(like, rng, -0.1, 0.35).flatten()
    share[:, Surface.CANOPY] = uniform(like, rng, -0.2, 0.4).flatten()
    share[:, Surface.CAR] = 0.6
    gone = (of(ground.part, table(like, rng, THINGS)) < of(ground.label, share)).float()
    bare_look = widely_blurred(ground.albedo, uniform(like, rng, 4.0, 8.0))
    return replace(
        ground,
        label=chosen(gone, ground.bare.float(), ground.label.float()).to(torch.int32),
        part=chosen(gone, ground.bare_part.float(), ground.part.float()).to(torch.int32),
        height=chosen(gone, ground.terrain, ground.height),
        albedo=chosen(gone, bare_look, ground.albedo),
        grain=chosen(gone, torch.zeros_like(like), ground.grain),
    )
