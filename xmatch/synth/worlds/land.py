"""Land and towns as cameras, thermal sensors, maps and elevation models show them; radar has a file of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, direction, spots, uniform, white
from xmatch.synth.modalities.filters import blurred, slopes
from xmatch.synth.worlds.ground import COUNTRY, TOWN, Ground, make_ground, shaded
from xmatch.synth.worlds.layout import TABLE, hashed, of_number, table
from xmatch.synth.worlds.radar import radar

country, town = partial(make_ground, COUNTRY), partial(make_ground, TOWN)


def optical(ground: Ground, rng: torch.Generator) -> Tensor:
    """Albedo with texture, slopes towards the sun, shadows, haze."""
    return _seen(ground, rng, fields=(0.15, 0.75), trees=(0.08, 0.35), water=(0.03, 0.3), shadow=0.6)


def optical_later(ground: Ground, rng: torch.Generator) -> Tensor:
    """Another season, sun and year: fields anew, some buildings, lanes and woods gone."""
    gone = of_number(hashed(ground.parcel), table(ground.height, rng)) < uniform(ground.height, rng, 0.0, 0.25)
    building = ground.building * (~gone)
    left = replace(
        ground,
        building=building,
        roof=ground.roof * building,
        lane=ground.lane * chance(ground.height, rng, 0.7),
        trees=ground.trees * (~(gone & (ground.trees < 0.9))),
        height=torch.where(gone & (ground.building > 0), ground.terrain, ground.height),
    )
    return optical(left, rng)


def near_infrared(ground: Ground, rng: torch.Generator) -> Tensor:
    """Plants bright, water black, soil and roofs between."""
    return _seen(ground, rng, fields=(0.3, 0.95), trees=(0.5, 0.95), water=(0.0, 0.08), shadow=0.4)


def thermal(ground: Ground, rng: torch.Generator) -> Tensor:
    """Temperature: its own number for every kind of surface, hardly any texture, blurred, often faint."""
    like = ground.height
    warm = _surface(ground, rng, (0.2, 0.8), (0.1, 0.6), (0.0, 1.0), roads=(0.3, 1.0), roofs=(0.1, 1.0))
    warm = warm + uniform(like, rng, 0.0, 0.25) * blobs(like, rng, 3) + 0.02 * ground.texture[:, 2:]
    hot = (of_number(hashed(ground.parcel), table(like, rng)) < 0.1) * ground.building
    seen = blurred(warm + 0.6 * hot, uniform(like, rng, 0.4, 2.5), 7)
    strength = uniform(like, rng, 0.25, 1.0)
    noisy = 0.5 + strength * (seen - seen.mean((2, 3), keepdim=True)) + uniform(like, rng, 0.0, 0.04) * white(like, rng)
    return _either_way(noisy, rng, 0.5)


def chart(ground: Ground, rng: torch.Generator) -> Tensor:
    """A map: few flat tones, casings and outlines, fields merged, small things left out, labels."""
    like = ground.height
    tones = uniform(like, rng, 0.1, 1.0, 6)
    paper, wood, sea, road, roof, ink = (tones[:, i : i + 1] for i in range(6))
    merged = of_number(ground.parcel, table(like, rng)) < uniform(like, rng, 0.0, 0.4)
    out = paper + chance(like, rng, 0.5) * merged * (of_number(ground.parcel, table(like, rng)) - 0.5) * 0.3
    out = _laid(out, wood, (ground.trees > 0.5).float() * chance(like, rng, 0.7))
    out = _laid(out, sea, (ground.water > 0.5).float())
    out = _laid(out, ink, ground.lane * chance(like, rng, 0.5))
    kept = of_number(ground.parcel, table(like, rng)) > uniform(like, rng, -0.2, 0.5)
    out = _laid(out, roof, ground.building * kept * chance(like, rng, 0.8))
    casing = chance(like, rng, 0.6) * (blurred(ground.road, uniform(like, rng, 0.8, 1.4), 3) > 0.15)
    out = _laid(_laid(out, ink, casing.float()), road, (ground.road > 0.5).float())
    edge_x, edge_y = slopes(ground.building * kept + (ground.water > 0.5))
    out = _laid(out, ink, chance(like, rng, 0.6) * ((edge_x.abs() + edge_y.abs()) > 0.2))
    return _laid(out, ink, _labels(like, rng))


def relief(ground: Ground, rng: torch.Generator) -> Tensor:
    """Height as grey levels, or distance from above; with or without what stands on the ground."""
    like = ground.height
    standing = ground.terrain + uniform(like, rng, 0.3, 1.0) * (ground.height - ground.terrain)
    soft = blurred(standing, uniform(like, rng, 0.3, 1.5), 4)
    low, high = soft.amin((2, 3), keepdim=True), soft.amax((2, 3), keepdim=True)
    return _either_way((soft - low) / (high - low).clamp_min(0.5), rng, 0.5)


def night(ground: Ground, rng: torch.Generator) -> Tensor:
    """Lamps along roads, lit windows, a trace of the scene, noise."""
    like = ground.height
    trace = optical(ground, rng) * uniform(like, rng, 0.02, 0.35)
    lit = (of_number(hashed(ground.parcel), table(like, rng)) < uniform(like, rng, 0.05, 0.5)) * ground.building
    lamps = (white(like, rng) > uniform(like, rng, 2.0, 3.0)) * ground.road
    glow = blurred(lamps.float() * 6, uniform(like, rng, 1.0, 3.0), 8) + uniform(like, rng, 0.0, 0.3) * ground.road
    seen = trace + glow + lit * uniform(like, rng, 0.1, 0.8) + 0.2 * spots(like, rng, 6, 0.02, 0.1)
    return seen + uniform(like, rng, 0.01, 0.06) * white(like, rng)


SENSORS = {
    "optical": optical,
    "optical-later": optical_later,
    "nir": near_infrared,
    "infrared": thermal,
    "sar": radar,
    "map": chart,
    "depth": relief,
    "night": night,
}
"""Name -> (ground, rng) -> (B, 1, H, W), about [0, 1]."""


def _seen(ground: Ground, rng: torch.Generator, fields, trees, water, shadow: float) -> Tensor:
    like = ground.height
    albedo = _surface(ground, rng, fields, trees, water, roads=(0.2, 0.9), roofs=(0.1, 1.0))
    rough = of_number(ground.parcel, table(like, rng)) * (1 - ground.road) * (1 - ground.water)
    amount = uniform(like, rng, 0.0, 0.12, 3)
    albedo = albedo + (amount * ground.texture).sum(1, keepdim=True) * rough
    cos, sin = direction(like, rng)
    along_x, along_y = slopes(ground.height)
    light = 1 - 0.35 * (cos * along_x + sin * along_y).clamp(-1.0, 1.0) + 0.15 * ground.roof * cos
    dark = shaded(ground.height, cos, sin, uniform(like, rng, 0.5, 2.0))
    lit = albedo * light * (1 - shadow * dark)
    haze = uniform(like, rng, 0.0, 0.3)
    return lit * (1 - haze) + haze * (0.6 + 0.1 * blobs(like, rng, 3)) + 0.01 * white(like, rng)


def _surface(ground: Ground, rng: torch.Generator, fields, trees, water, *, roads, roofs) -> Tensor:
    """(B, 1, H, W): each kind of surface with numbers of its own, drawn from these bounds."""
    like = ground.height
    low, high = fields
    out = low + (high - low) * of_number(ground.parcel, table(like, rng))
    out = _laid(out, uniform(like, rng, 0.0, 1.0), 0.7 * ground.lane * chance(like, rng, 0.8))
    crowns = uniform(like, rng, *trees) + 0.06 * ground.texture[:, 2:]
    out = _laid(out, crowns, ground.trees)
    out = _laid(out, uniform(like, rng, *water) + 0.01 * ground.texture[:, 2:], ground.water)
    out = _laid(out, uniform(like, rng, *roads), ground.road)
    tile = roofs[0] + (roofs[1] - roofs[0]) * of_number(hashed(ground.parcel), table(like, rng))
    return _laid(out, tile, ground.building)


def _laid(below: Tensor, above: Tensor, where: Tensor) -> Tensor:
    return below + where * (above - below)


def _either_way(image: Tensor, rng: torch.Generator, share: float) -> Tensor:
    """White for black in that share of the images."""
    flip = chance(image, rng, share)
    return image * (1 - 2 * flip) + flip


def _labels(like: Tensor, rng: torch.Generator, most: int = 6) -> Tensor:
    """(B, 1, H, W) of 0 and 1: up to `most` words of made-up letters, 6 px high."""
    out = torch.zeros_like(like)
    height, width = like.shape[-2:]
    drawn = torch.randint(0, 2**30, (len(like), most, 4), generator=rng, device=like.device).cpu()
    for image, words in zip(out, drawn.tolist(), strict=True):
        for down, across, count, letters in words[: words[0][0] % (most + 1)]:
            length = 4 * (3 + count % 8)
            if height <= 8 or width <= length:
                continue
            seed = torch.Generator(device=like.device).manual_seed(letters % TABLE)
            word = torch.rand((6, length), generator=seed, device=like.device) < 0.5
            word[:, 3::4] = False
            y, x = down % (height - 6), across % (width - length)
            image[0, y : y + 6, x : x + length] = word.float()
    return out
