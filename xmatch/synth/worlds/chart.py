"""Maps: flat tones, casings, outlines, words; fields merged, small things left out."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import chance, uniform, white
from xmatch.synth.modalities.filters import blurred
from xmatch.synth.worlds.ground import THINGS, Ground
from xmatch.synth.worlds.lettering import words
from xmatch.synth.worlds.patterns import chosen, of, pixel_centres, table
from xmatch.synth.worlds.surfaces import Surface, Use

WORDS = 14
"""Most of them on a map; not tuned."""


def street_map(ground: Ground, rng: torch.Generator) -> Tensor:
    """A map in one of many styles: pale with white roads, coloured, or bright on dark."""
    like = ground.road_px
    paper = uniform(like, rng, 0.75, 1.0)
    strength = uniform(like, rng, 0.35, 1.0) ** 2
    kept = (of(ground.part, table(like, rng, THINGS)) > uniform(like, rng, -0.3, 0.5)).float()
    out = paper - strength * _tints(ground, rng)
    water = (ground.bare % len(Surface) == int(Surface.WATER)).float()
    out = chosen(water, paper - strength * uniform(like, rng, 0.1, 0.8), out)
    out = chosen(_edge(water) * chance(like, rng, 0.4), paper - strength * uniform(like, rng, 0.3, 0.9), out)
    out = _roads(ground, rng, out, paper, strength)
    out = _houses(ground, rng, out, paper, strength, kept)
    out = out - uniform(like, rng, 0.3, 0.9) * chance(like, rng, 0.3) * strength * _contours(ground, rng)
    ink = words(like, rng, WORDS) * chance(like, rng, 0.8) * uniform(like, rng, 0.3, 1.0)
    halo = (blurred(ink, uniform(like, rng, 0.8, 1.5), 3) * 3).clamp(0.0, 1.0) * chance(like, rng, 0.5)
    out = chosen(ink, uniform(like, rng, 0.0, 0.6), chosen(halo, paper, out))
    dark = chance(like, rng, 0.15)
    out = dark * (1.0 - 0.9 * out) + (1 - dark) * out
    return blurred(out, uniform(like, rng, 0.2, 0.7), 2) + uniform(like, rng, 0.0, 0.01) * white(like, rng)


def _tints(ground: Ground, rng: torch.Generator) -> Tensor:
    """(B, 1, H, W) in [0, 1] by the use of the land; many uses have none, some are hatched."""
    like = ground.road_px
    shown = (table(like, rng, len(Use)) < 0.4).float() * table(like, rng, len(Use))
    first = torch.arange(len(like), device=like.device, dtype=torch.int32).reshape(-1, 1, 1, 1) * len(Use)
    use = ground.use + first
    tint = of(use, shown)
    canopy = (ground.bare % len(Surface) == int(Surface.CANOPY)).float()
    tint = chosen(canopy * chance(like, rng, 0.6), uniform(like, rng, 0.1, 0.6), tint)
    x, y = pixel_centres(like)
    across = (x * uniform(like, rng, -1.0, 1.0) + y) / uniform(like, rng, 4.0, 9.0)
    hatch = (torch.remainder(across, 1.0) < 0.25).float()
    return tint + 0.4 * hatch * of(use, (table(like, rng, len(Use)) < 0.05).float())


def _roads(ground: Ground, rng: torch.Generator, out: Tensor, paper: Tensor, strength: Tensor) -> Tensor:
    like = ground.road_px
    # Minor roads are left out where a map is coarse; drawn roads are broader than real ones.
    minor = chance(like, rng, 0.75)
    wider = uniform(like, rng, -0.3, 1.2)
    edge = chosen(minor, ground.road_px, ground.main_px) - wider
    main = ground.main_px - wider
    way = (edge < 0).float()
    casing = (edge < uniform(like, rng, 0.8, 1.6)).float() * chance(like, rng, 0.7)
    out = chosen(casing * (1 - way), paper - strength * uniform(like, rng, 0.1, 0.9), out)
    fill = chosen(chance(like, rng, 0.7), torch.ones_like(paper), paper - strength * uniform(like, rng, 0.0, 1.0))
    out = chosen(way, fill, out)
    return chosen((main < 0).float() * chance(like, rng, 0.5), paper - strength * uniform(like, rng, 0.1, 0.9), out)


def _houses(ground: Ground, rng: torch.Generator, out: Tensor, paper: Tensor, strength: Tensor, kept: Tensor) -> Tensor:
    like = ground.road_px
    roof = (ground.label % len(Surface) == int(Surface.ROOF)).float() * kept * chance(like, rng, 0.8)
    single = 0.3 * chance(like, rng, 0.3) * (of(ground.part, table(like, rng, THINGS)) - 0.5)
    out = chosen(roof, paper - strength * (uniform(like, rng, 0.03, 0.7) + single), out)
    rim = roof * (ground.inside_px < 1.2).float() * chance(like, rng, 0.7)
    return chosen(rim, paper - strength * uniform(like, rng, 0.2, 1.0), out)


def _contours(ground: Ground, rng: torch.Generator) -> Tensor:
    level = ground.terrain / uniform(ground.terrain, rng, 1.5, 6.0)
    return _edge(level.floor())


def _edge(number: Tensor) -> Tensor:
    """(B, 1, H, W) 1.0 where the number differs from that of the px to the right or below."""
    changed = torch.zeros_like(number)
    changed[..., :-1] = (number[..., 1:] != number[..., :-1]).float()
    changed[..., :-1, :] = torch.maximum(changed[..., :-1, :], (number[..., 1:, :] != number[..., :-1, :]).float())
    return changed
