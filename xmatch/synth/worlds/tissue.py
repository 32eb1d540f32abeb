"""Slices through a body: nested organs, and how scanners of different kinds show them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, clutter, direction, positions, spots, uniform, white
from xmatch.synth.modalities.filters import blurred
from xmatch.synth.modalities.radar import speckle
from xmatch.synth.worlds.places import line, of_number, table

ORGANS = 11


@dataclass(frozen=True, eq=False)
class Body:
    """Layers of B slices, (B, 1, H, W) each."""

    organ: Tensor
    """Number of the organ, 0 outside the body, 1 skin and fat, 2 bone, 3 soft tissue, from 4 on organs."""
    vessel: Tensor
    """In [0, 1]."""
    texture: Tensor
    """Unit variance."""
    hot: Tensor
    """What takes up a tracer, in [0, 1]."""


def make_body(count: int, size: int, rng: torch.Generator) -> Body:
    like = torch.zeros((count, 1, size, size), device=rng.device)
    down, across = positions(like)
    x, y = (2 * across - 1)[None, None, None, :], (2 * down - 1)[None, None, :, None]
    wave = uniform(like, rng, 0.02, 0.08) * blobs(like, rng, 4)
    width, height = uniform(like, rng, 0.6, 0.95), uniform(like, rng, 0.7, 1.0)
    depth = 1 - ((x / width) ** 2 + (y / height) ** 2).sqrt() + wave  # 0 at the skin, grows inwards
    skin, bone = uniform(like, rng, 0.02, 0.1), uniform(like, rng, 0.03, 0.12)
    organ = (depth > 0).long() + (depth > skin).long() + (depth > skin + bone).long()
    inside = depth > skin + bone + 0.02
    for number in range(4, 4 + ORGANS):
        blob = _blob(like, x, y, rng, uniform(like, rng, 0.05, 0.4))
        organ = torch.where(inside & blob, torch.full_like(organ, number), organ)
    vessel = line(like, rng, 5, uniform(like, rng, 1.0, 4.0)) * inside
    hot = (spots(like, rng, 5, 0.02, 0.1) * inside).clamp(0.0, 1.0)
    return Body(organ, vessel, clutter(like, rng, 0.8, 3.0), hot)


def _blob(like: Tensor, x: Tensor, y: Tensor, rng: torch.Generator, radius: Tensor) -> Tensor:
    """(B, 1, H, W) bool: a wavy ellipse near the middle, half of them with their mirror image."""
    cos, sin = direction(like, rng)
    left, top = uniform(like, rng, -0.6, 0.6), uniform(like, rng, -0.6, 0.6)
    twin = chance(like, rng, 0.5)
    aside = twin * (x.abs() - left.abs()) + (1 - twin) * (x - left)
    u, v = cos * aside + sin * (y - top), cos * (y - top) - sin * aside
    wave = 1 + 0.25 * blobs(like, rng, 6)
    return (u / (radius * uniform(like, rng, 0.4, 1.0))) ** 2 + (v / radius) ** 2 < wave


def computed(body: Body, rng: torch.Generator) -> Tensor:
    """CT: bone bright, fat dark, organs close together."""
    like = body.texture
    window = uniform(like, rng, 0.15, 0.6)
    soft = 0.45 + window * (of_number(body.organ, table(like, rng)) - 0.5)
    out = torch.where(body.organ == 2, uniform(like, rng, 0.85, 1.0), soft)
    out = torch.where(body.organ == 1, uniform(like, rng, 0.15, 0.35), out) * (body.organ > 0)
    out = out + chance(like, rng, 0.4) * 0.4 * body.vessel + 0.01 * body.texture
    return out + uniform(like, rng, 0.0, 0.04) * white(like, rng)


def resonance(body: Body, rng: torch.Generator) -> Tensor:
    """MR: any organ may have any brightness, bone is dark; an uneven coil, Rician noise."""
    like = body.texture
    out = 0.1 + 0.9 * of_number(body.organ, table(like, rng))
    out = torch.where(body.organ == 2, uniform(like, rng, 0.0, 0.15), out) * (body.organ > 0)
    out = out + (chance(like, rng, 0.5) - 0.5) * body.vessel + uniform(like, rng, 0.0, 0.06) * body.texture
    out = out * (1 + uniform(like, rng, 0.0, 0.25) * blobs(like, rng, 2)).clamp_min(0.1)
    noise = uniform(like, rng, 0.0, 0.08)
    return ((out + noise * white(like, rng)).square() + (noise * white(like, rng)).square()).sqrt()


def emission(body: Body, rng: torch.Generator) -> Tensor:
    """PET and SPECT: uptake by organ, hot spots, blurred by millimetres."""
    like = body.texture
    uptake = of_number(body.organ, table(like, rng)) ** 2 * (body.organ > 2) + 1.5 * body.hot
    soft = blurred(uptake, uniform(like, rng, 2.0, 5.0), 12)
    high = soft.amax((2, 3), keepdim=True).clamp_min(0.2)
    grainy = soft / high * (1 + uniform(like, rng, 0.0, 0.3) * clutter(like, rng, 1.5, 3.0))
    flip = chance(like, rng, 0.3)
    return grainy * (1 - 2 * flip) + flip


def ultrasound(body: Body, rng: torch.Generator) -> Tensor:
    """Echoes from borders, speckle, fading with depth."""
    like = body.texture
    echo = 0.1 + 0.5 * of_number(body.organ, table(like, rng)) * (body.organ > 0)
    border = (torch.roll(body.organ, 1, 2) != body.organ).float()
    down, _ = positions(like)
    fading = torch.exp(-uniform(like, rng, 0.0, 2.0) * down[None, None, :, None])
    power = (echo + 0.8 * border) * speckle(like, rng, (1.0, 6.0)) * fading
    return (power.clamp_min(1e-3).log() / 6 + 0.9).clamp(0.0, 1.0)


SENSORS = {"mr": resonance, "ct": computed, "mr-other": resonance, "pet": emission, "us": ultrasound}
"""Name -> (body, rng) -> (B, 1, H, W), about [0, 1]."""
