"""Slices through a body, and how scanners of different kinds show them.

Six slices in ten are heads: folded cortex, a cleft in the middle, chambers of fluid. The others are trunks: ribs,
organs, lungs in half of them. Both have a skin, bones, vessels, and places that take up a tracer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, clutter, direction, patches, positions, spots, uniform, white
from xmatch.synth.modalities.filters import blurred
from xmatch.synth.modalities.radar import speckle
from xmatch.synth.worlds.places import from_zero, line, of_number, table

OUTSIDE, SKIN, BONE, SOFT, FLUID, CORTEX, AIR, ORGAN = range(8)
"""Numbers of kinds of tissue; organs are numbered from ORGAN on."""
ORGANS = 12
"""In a slice; not tuned."""


@dataclass(frozen=True, eq=False)
class Body:
    """Layers of B slices, (B, 1, H, W) each."""

    organ: Tensor
    """Number of the tissue or organ."""
    depth: Tensor
    """0 at the skin, grows to about 1 in the middle; negative outside."""
    vessel: Tensor
    """In [0, 1]."""
    texture: Tensor
    """Unit variance."""
    hot: Tensor
    """What takes up a tracer, in [0, 1]."""


def make_body(count: int, size: int, rng: torch.Generator) -> Body:
    like = torch.zeros((count, 1, size, size), device=rng.device)
    down, across = positions(like)
    x = (2 * across - 1)[None, None, None, :] - uniform(like, rng, -0.1, 0.1)
    y = (2 * down - 1)[None, None, :, None] - uniform(like, rng, -0.1, 0.1)
    wave = uniform(like, rng, 0.01, 0.08) * blobs(like, rng, 4) + uniform(like, rng, 0.0, 0.012) * blobs(like, rng, 16)
    wide, high = uniform(like, rng, 0.55, 0.95), uniform(like, rng, 0.65, 1.0)
    depth = 1 - ((x / wide) ** 2 + (y / high) ** 2).sqrt() + wave
    head = chance(like, rng, 0.6) > 0
    organ, inner = _shell(like, rng, depth, head)
    inside, texture = inner > 0.02, clutter(like, rng, 0.8, 3.0)
    organ = _put(organ, inside & ~head & _lungs(like, rng, x / wide, y / high), AIR)
    for number in range(ORGAN, ORGAN + ORGANS):
        there = _blob(like, x, y, rng, 0.35 * uniform(like, rng, 0.3, 1.0) ** 2) & inside & (organ != AIR)
        # A head keeps its folds: few organs cover them.
        organ = _put(organ, there & (~head | (chance(like, rng, 0.35) > 0)), number)
    organ = _folds(like, rng, organ, inner, x, head)
    large, small = line(like, rng, 5, uniform(like, rng, 0.8, 3.0)), line(like, rng, 14, uniform(like, rng, 0.0, 1.2))
    vessel = torch.maximum(large, small) * (patches(like, rng, 0.2, 0.6) > 0.5) * inside
    hot = (spots(like, rng, 5, 0.02, 0.08) * inside).clamp(0.0, 1.0)
    return Body(organ, depth, vessel, texture, hot)


def _put(organ: Tensor, where: Tensor, number: int) -> Tensor:
    return organ.masked_fill(where, number)


def _shell(like: Tensor, rng: torch.Generator, depth: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
    """Skin and bone (all around a head, here and there in a trunk), and the depth below them."""
    skin, bone = uniform(like, rng, 0.02, 0.12), uniform(like, rng, 0.03, 0.12)
    uneven = 1 + uniform(like, rng, 0.0, 0.5) * blobs(like, rng, 6)
    inner = depth - skin - bone * uneven.clamp_min(0.2)
    organ = (depth > 0).long() * SKIN
    hard = head | (blobs(like, rng, 9) > uniform(like, rng, -0.5, 0.5))
    organ = torch.where((depth > skin) & hard, torch.full_like(organ, BONE), organ)
    return _put(organ, inner > 0, SOFT), inner


def _folds(like: Tensor, rng: torch.Generator, organ: Tensor, inner: Tensor, x: Tensor, head: Tensor) -> Tensor:
    """Cortex along winding clefts and along the skull, fluid in the clefts and in chambers on both sides."""
    field = blobs(like, rng, 14) + 0.4 * blobs(like, rng, 24)
    reach = uniform(like, rng, 0.2, 0.6)
    rim = (inner > 0) & (inner < reach * (1 + 0.4 * blobs(like, rng, 8)))
    cleft = from_zero(field + uniform(like, rng, -0.4, 0.4))
    px = like.shape[-1] / 288
    soft = head & (organ == SOFT)
    grey = (rim & (cleft < px * uniform(like, rng, 3.0, 6.0))) | (inner < uniform(like, rng, 0.03, 0.08))
    organ = _put(organ, soft & grey, CORTEX)
    middle = x.abs() + 0.02 * blobs(like, rng, 5).abs() < uniform(like, rng, 0.005, 0.02)
    wet = (rim & (cleft < px * uniform(like, rng, 0.5, 1.8))) | (inner < uniform(like, rng, 0.0, 0.03)) | middle
    organ = _put(organ, soft & wet, FLUID)
    chamber = from_zero(x.abs() - uniform(like, rng, 0.08, 0.2) + 0.05 * blobs(like, rng, 3))
    chamber = (chamber < px * uniform(like, rng, 2.0, 9.0)) & (inner > uniform(like, rng, 0.4, 0.6))
    return _put(organ, head & chamber, FLUID)


def _lungs(like: Tensor, rng: torch.Generator, x: Tensor, y: Tensor) -> Tensor:
    """Two large hollows, in half of the slices."""
    half = uniform(like, rng, 0.25, 0.4)
    aside = (x.abs() - uniform(like, rng, 0.38, 0.5)) / half
    up = (y - uniform(like, rng, -0.2, 0.2)) / uniform(like, rng, 0.4, 0.6)
    return (aside**2 + up**2 < 1 + 0.3 * blobs(like, rng, 6)) & (chance(like, rng, 0.5) > 0)


def _blob(like: Tensor, x: Tensor, y: Tensor, rng: torch.Generator, radius: Tensor) -> Tensor:
    """(B, 1, H, W) bool: a wavy ellipse near the middle, half of them with their mirror image."""
    cos, sin = direction(like, rng)
    left, top = uniform(like, rng, -0.6, 0.6), uniform(like, rng, -0.6, 0.6)
    twin = chance(like, rng, 0.5)
    aside = twin * (x.abs() - left.abs()) + (1 - twin) * (x - left)
    u, v = cos * aside + sin * (y - top), cos * (y - top) - sin * aside
    wave = 1 + uniform(like, rng, 0.1, 0.5) * blobs(like, rng, 8)
    return (u / (radius * uniform(like, rng, 0.4, 1.0))) ** 2 + (v / radius) ** 2 < wave


def _by_tissue(body: Body, rng: torch.Generator, **ranges: tuple[float, float]) -> Tensor:
    """Each tissue's own random value in [0, 1); those named (`bone`, `air`, ...) within a range."""
    values = table(body.texture, rng)
    for name, (low, high) in ranges.items():
        number = globals()[name.upper()]
        values[:, number] = low + (high - low) * values[:, number]
    values[:, OUTSIDE] = 0.0
    return of_number(body.organ, values)


def computed(body: Body, rng: torch.Generator) -> Tensor:
    """CT: bone bright, fat and air dark, all else close together; often the couch below."""
    like = body.texture
    level, window = uniform(like, rng, 0.25, 0.6), uniform(like, rng, 0.04, 0.5)
    contrast = _by_tissue(body, rng, cortex=(0.5, 1.0), fluid=(0.0, 0.4))
    out = level + window * (contrast - 0.5) + uniform(like, rng, 0.0, 0.03) * body.texture
    out = out + chance(like, rng, 0.4) * 0.4 * body.vessel
    out = torch.where(body.organ == BONE, uniform(like, rng, 0.75, 1.3) + 0.1 * body.texture, out)
    out = torch.where(body.organ == SKIN, uniform(like, rng, 0.0, 0.35), out)
    out = torch.where(body.organ == AIR, uniform(like, rng, 0.0, 0.1), out) * (body.organ != OUTSIDE)
    down, across = positions(like)
    bow = down[:, None] - 0.93 + uniform(like, rng, 0.2, 0.8) * (across[None, :] - 0.5) ** 2
    couch = (bow.abs() < 0.006) & (body.organ == OUTSIDE) & (chance(like, rng, 0.4) > 0)
    return (out + couch).clamp(0.0, 1.0) + uniform(like, rng, 0.0, 0.04) * white(like, rng)


def resonance(body: Body, rng: torch.Generator) -> Tensor:
    """MR: any tissue may have any brightness, bone and air are dark; an uneven coil, Rician noise."""
    like = body.texture
    out = _by_tissue(body, rng, bone=(0.0, 0.15), air=(0.0, 0.08))
    out = 0.08 * (body.organ != OUTSIDE) + 0.92 * out * uniform(like, rng, 0.5, 1.0)
    out = out + (chance(like, rng, 0.5) - 0.5) * body.vessel + uniform(like, rng, 0.0, 0.06) * body.texture
    out = out * (1 + uniform(like, rng, 0.0, 0.25) * blobs(like, rng, 2)).clamp_min(0.1)
    soft = blurred(out, uniform(like, rng, 0.2, 0.9), 3)
    noise = uniform(like, rng, 0.0, 0.06)
    return ((soft + noise * white(like, rng)).square() + (noise * white(like, rng)).square()).sqrt()


def emission(body: Body, rng: torch.Generator) -> Tensor:
    """PET and SPECT: uptake by organ, most of it in cortex, hot spots; blurred by millimetres."""
    like = body.texture
    contrast = _by_tissue(
        body,
        rng,
        bone=(0.0, 0.2),
        skin=(0.0, 0.2),
        fluid=(0.0, 0.2),
        air=(0.0, 0.1),
        cortex=(0.7, 1.4),
        soft=(0.1, 0.6),
    )
    uptake = contrast**2 + uniform(like, rng, 0.0, 1.5) * body.hot
    soft = blurred(uptake, uniform(like, rng, 1.2, 4.0), 10)
    high = soft.amax((2, 3), keepdim=True).clamp_min(0.2)
    grainy = soft / high * (1 + uniform(like, rng, 0.0, 0.25) * clutter(like, rng, 1.5, 3.0))
    flip = chance(like, rng, 0.25)
    return grainy.clamp(0.0, 1.0) * (1 - 2 * flip) + flip


def ultrasound(body: Body, rng: torch.Generator) -> Tensor:
    """Echoes of tissues and from their borders, speckle, fading with depth; often a sector only."""
    like = body.texture
    echo = 0.02 + _by_tissue(body, rng, fluid=(0.0, 0.1)) ** 2
    border = (torch.roll(body.organ, 1, 2) != body.organ).float()
    down, across = positions(like)
    y, x = down[None, None, :, None], across[None, None, None, :] - 0.5
    power = (echo + uniform(like, rng, 0.3, 2.0) * border) * speckle(like, rng, (1.5, 8.0))
    power = power * torch.exp(-uniform(like, rng, 0.0, 2.0) * y)
    seen = power.clamp_min(1e-4).log() / uniform(like, rng, 5.0, 7.0) + 0.85
    above = uniform(like, rng, 0.05, 0.3)
    sector = (x.abs() < (y + above) * uniform(like, rng, 0.6, 1.2)) & (x**2 + (y + above) ** 2 < (1 + above) ** 2)
    return seen.clamp(0.0, 1.0) * (sector | (chance(like, rng, 0.5) > 0))


def projected(body: Body, rng: torch.Generator) -> Tensor:
    """X-ray: bone over soft tissue that grows thicker towards the middle, and things before and behind; either way."""
    like = body.texture
    thick = body.depth.clamp_min(0.0).sqrt() * uniform(like, rng, 0.3, 1.5)
    dense = _by_tissue(body, rng, bone=(1.0, 3.0), air=(-1.0, -0.3)) * uniform(like, rng, 0.3, 1.0) + 0.3 * body.vessel
    behind = uniform(like, rng, 0.0, 0.3) * blobs(like, rng, 6) * (body.organ != OUTSIDE)
    passed = torch.exp(-(thick + blurred(dense, uniform(like, rng, 0.5, 2.0), 6) + behind).clamp_min(0.0))
    flip = chance(like, rng, 0.6)
    return passed * (1 - 2 * flip) + flip + uniform(like, rng, 0.0, 0.03) * white(like, rng)


SENSORS = {
    "mr": resonance,
    "ct": computed,
    "mr-other": resonance,
    "pet": emission,
    "us": ultrasound,
    "xray": projected,
}
"""Name -> (body, rng) -> (B, 1, H, W), about [0, 1]."""
