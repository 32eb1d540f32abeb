"""Land and towns: a plan, water and roads across it, buildings, trees, cars, and what all that is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import chance, log_uniform, uniform
from xmatch.synth.worlds.buildings import Buildings, raise_buildings
from xmatch.synth.worlds.layout import FAR, PARTS, PlotLayout, lay_out
from xmatch.synth.worlds.patterns import canvas, chosen, curves, flat_index, fractal, grain_noise, of, table
from xmatch.synth.worlds.plants import CROWNS, plant
from xmatch.synth.worlds.surfaces import Surface, Use, by_surface, by_use, ranges_by_surface
from xmatch.synth.worlds.traffic import CARS, cars

THINGS = 16384
"""Entries of tables of things: PARTS parcels (buildings half of that further on), then CROWNS trees, then CARS cars."""
assert PARTS + CROWNS + CARS <= THINGS


@dataclass(frozen=True)
class Profile:
    """What tells land from towns."""

    zones: tuple[tuple[str, float], ...]
    """Kinds of zones and their weights."""
    metre_px: tuple[float, float]
    """Range of the px in a metre."""
    hilly: float
    """Share of scenes with hills."""
    wooded: float
    """Share of scenes with woods that keep to no plot."""
    rivers: float
    lakes: float
    highways: float


COUNTRY = Profile(
    (("farmland", 6.0), ("woodland", 1.5), ("wilds", 1.5), ("village", 1.5), ("suburb", 0.5), ("works", 0.4)),
    (0.08, 1.5),
    0.7,
    0.6,
    0.45,
    0.25,
    0.4,
)
TOWN = Profile(
    (("suburb", 4.0), ("centre", 4.0), ("works", 2.0), ("village", 0.7), ("farmland", 0.4)),
    (0.12, 2.2),
    0.3,
    0.15,
    0.25,
    0.08,
    0.5,
)
"""What a map of each looks like to the eye; not tuned by any measurement."""


REGION = Profile(
    (
        ("farmland", 4.0),
        ("village", 3.0),
        ("suburb", 3.0),
        ("centre", 1.5),
        ("works", 1.0),
        ("woodland", 1.5),
        ("wilds", 1.0),
    ),
    (0.03, 0.12),
    0.5,
    0.7,
    0.6,
    0.4,
    0.8,
)
"""What satellites of 8 to 30 m a pixel see: a house is less than a pixel, a town is texture."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Layers of B scenes, (B, 1, H, W) each; all on one pixel grid, seen from straight above."""

    label: Tensor
    """`flat_index` of the `Surface`."""
    part: Tensor
    """`flat_index` of the single thing (this field, that roof, a tree), in tables (B, THINGS)."""
    height: Tensor
    """Of all there is, px."""
    bare: Tensor
    """`flat_index` of the `Surface` without buildings, trees and cars."""
    bare_part: Tensor
    terrain: Tensor
    """Height without what stands on it, px."""
    grain: Tensor
    """Fine texture, about -1 to 1: rows of crops, seams of roofs, crowns."""
    blotch: Tensor
    """Coarse texture, about -1 to 1."""
    road_px: Tensor
    """Distance to the edge of the nearest road; negative on it."""
    main_px: Tensor
    """Distance to the edge of the nearest main road."""
    inside_px: Tensor
    """Depth inside the outline of a building; negative outside."""
    use: Tensor
    """Number of the `Use`, int32."""
    metre_px: Tensor
    """(B, 1, 1, 1) px in a metre."""
    albedo: Tensor
    """Brightness under even light, in [0, 1]."""
    temperature: Tensor
    """From the coldest to the warmest, in [0, 1]."""
    roughness: Tensor
    """From mirror-like to rough, in [0, 1]."""


def make_ground(profile: Profile, count: int, size: int, rng: torch.Generator) -> Ground:
    """`count` scenes of `size` x `size` px on the generator's device."""
    like = canvas(count, size, rng.device)
    metre = log_uniform(like, rng, *profile.metre_px)
    layout = lay_out(like, rng, profile.zones, metre)
    relief = fractal(like, rng, uniform(like, rng, 1.7, 2.6))
    terrain = relief * ((size / 288) * uniform(like, rng, 0.0, 14.0) * chance(like, rng, profile.hilly))
    wet = torch.maximum(_lakes(like, rng, relief, profile.lakes), _rivers(like, rng, profile, metre))
    road_px, main_px = _roads(like, rng, profile, layout, metre)
    bare, number = _bare(layout, rng, wet, road_px, main_px)
    grain, blotch = _textures(layout, rng, bare, road_px)
    free = (1 - wet) * (road_px > 0.5).float()
    houses = raise_buildings(layout, rng)
    built = (houses.inside_px > 0).float()
    built = built * (1 - _touched(layout, built * torch.maximum(1 - free, (layout.border_px < 1.0).float())))
    label = chosen(built, float(Surface.ROOF), bare)
    # A roof is not like its garden.
    part = torch.remainder(number + (PARTS // 2) * built, PARTS)
    so_far = (label, part, built * houses.height_m, chosen(built, houses.detail, grain))
    label, part, height, grain = _planted(layout, rng, profile, houses, free, road_px, so_far)
    label, part, height = _parked(layout, rng, road_px, (label, part, height))
    label, part = flat_index(label, len(Surface)), flat_index(part, THINGS)
    looks = {
        field: _look(field, label, part, grain, blotch, rng, fine)
        for field, fine in (("albedo", 0.12), ("temperature", 0.04), ("roughness", 0.05))
    }
    return Ground(
        label=label,
        part=part,
        height=terrain + (height * metre).clamp_max(0.12 * size),
        bare=flat_index(bare, len(Surface)),
        bare_part=flat_index(number, THINGS),
        terrain=terrain,
        grain=grain,
        blotch=blotch,
        road_px=road_px,
        main_px=main_px,
        inside_px=houses.inside_px,
        use=layout.use,
        metre_px=metre,
        **looks,
    )


def _touched(layout: PlotLayout, where: Tensor) -> Tensor:
    """(B, 1, H, W) 1.0 on whole parcels of which any px is in `where`: what a road would cut is not built."""
    parcels = torch.zeros((len(where) * PARTS,), device=where.device)
    parcels.scatter_reduce_(0, layout.part.flatten().to(torch.int64), where.flatten(), "amax")
    return of(layout.part, parcels)


def _lakes(like: Tensor, rng: torch.Generator, relief: Tensor, share: float) -> Tensor:
    level = uniform(like, rng, -2.2, -0.7)
    return (relief < level).float() * chance(like, rng, share)


def _rivers(like: Tensor, rng: torch.Generator, profile: Profile, metre: Tensor) -> Tensor:
    count = 2
    line = curves(like, rng, count, (0.3, 1.1), 0.16, (1.0, 0.43, 0.19))
    half = (log_uniform(like, rng, 2.0, 30.0) * metre).clamp(0.7, 0.06 * max(like.shape[-2:]))
    half = half * torch.cat([torch.ones_like(half), uniform(like, rng, 0.3, 0.8)], 1)
    half = half * (1 + 0.35 * grain_noise(like, rng, 20.0))
    there = (uniform(like, rng, 0.0, 1.0, count) < profile.rivers).float()
    # The second flows into the first: it lies on one side of it only.
    beyond = torch.cat([torch.zeros_like(line[:, :1]), (line[:, :1] < 0).float()], 1)
    return (((line.abs() < half).float() - beyond).clamp_min(0.0) * there).amax(1, keepdim=True)


def _roads(
    like: Tensor, rng: torch.Generator, profile: Profile, layout: PlotLayout, metre: Tensor
) -> tuple[Tensor, Tensor]:
    """Distance to the edge of the nearest road, and of the nearest main road."""
    count = 4
    line = curves(like, rng, count, (0.8, 3.0), 0.09, (1.0, 0.5))
    half = (0.5 * uniform(like, rng, 5.0, 24.0, count) * metre).clamp(0.7, 0.04 * max(like.shape[-2:]))
    # The smaller the place, the fewer of them come by.
    share = profile.highways * (0.7 / metre).clamp(0.2, 1.0)
    gone = FAR * (uniform(like, rng, 0.0, 1.0, count) > share).float()
    # Some roads end where they meet the first.
    ends = (uniform(like, rng, 0.0, 1.0, count) < 0.4).float()
    ends = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, 1:] * (gone[:, :1] == 0)], 1)
    side = torch.where(uniform(like, rng, 0.0, 1.0, count) < 0.5, 1.0, -1.0)
    distance = torch.maximum(line.abs() - half, ends * side * line[:, :1] - (1 - ends) * FAR) + gone
    main = distance.amin(1, keepdim=True)
    return torch.minimum(main, layout.lane_px), main


def _bare(
    layout: PlotLayout, rng: torch.Generator, wet: Tensor, road_px: Tensor, main_px: Tensor
) -> tuple[Tensor, Tensor]:
    """Label (as float) and number of what covers the ground, before anything stands on it."""
    like, metre = road_px, layout.metre_px
    label = by_use("ground", like.device)[layout.use]
    number = torch.remainder(layout.part, PARTS).float()
    town = (layout.use >= int(Use.HOUSES)).float()
    # Some fields are ploughed, some are meadows.
    state = of(layout.part, table(like, rng, PARTS))
    crop = (label == float(Surface.CROP)).float()
    label = label + crop * (state > 0.7).float() * (float(Surface.SOIL) - label)
    kerb = (road_px < uniform(like, rng, 1.0, 4.0) * metre).float()
    label = chosen(kerb * town, float(Surface.PAVED), label)
    label = chosen(kerb * (1 - town), float(Surface.GRASS), label)
    label = chosen(wet, float(Surface.WATER), label)
    way = chosen(chance(like, rng, 0.5) * (1 - town), float(Surface.GRAVEL), torch.full_like(like, float(Surface.ROAD)))
    way = chosen((main_px < 0).float(), float(Surface.ROAD), way)
    # Bridges belong to main roads; lanes end at the water.
    on_road = (road_px < 0).float() * (1 - wet * (main_px >= 0).float())
    return chosen(on_road, way, label), number


def _textures(layout: PlotLayout, rng: torch.Generator, label: Tensor, road_px: Tensor) -> tuple[Tensor, Tensor]:
    like, metre, part = label, layout.metre_px, layout.part
    noise = fractal(like, rng, uniform(like, rng, 0.1, 1.2), 0.1)
    rows = chosen((of(part, table(like, rng, PARTS)) < 0.7).float(), layout.v_px, layout.u_px)
    period = ((0.6 + 5 * of(part, table(like, rng, PARTS))) * metre).clamp_min(2.3)
    strength = (1.6 * of(part, table(like, rng, PARTS)) - 0.6).clamp_min(0.0) * chance(like, rng, 0.7)
    tilled = (label == float(Surface.CROP)).float() + (label == float(Surface.SOIL)).float()
    wave = torch.sin((2 * math.pi) * rows / period) * strength * tilled
    strong = by_surface("texture", like.device)[label.to(torch.int32)]
    coarse = fractal(like, rng, uniform(like, rng, 1.2, 2.0), 0.4)
    marks = (1 - (road_px / metre + 0.8).abs() / 0.3).clamp_min(0.0) * chance(like, rng, 0.5) * (metre > 0.5)
    fine = 0.5 * noise * strong + 0.9 * wave + 2.0 * marks * (label == float(Surface.ROAD)).float()
    return fine.clamp(-1.5, 2.0), (0.6 * coarse * strong).clamp(-1.5, 1.5)


def _planted(
    layout: PlotLayout,
    rng: torch.Generator,
    profile: Profile,
    houses: Buildings,
    free: Tensor,
    road_px: Tensor,
    so_far: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    label, part, height, grain = so_far
    like, metre = label, layout.metre_px
    density = by_use("trees", like.device)[layout.use]
    density = density * (1 + 0.5 * grain_noise(like, rng, 12.0)).clamp(0.0, 1.6)
    wild = fractal(like, rng, uniform(like, rng, 1.2, 2.0), 0.5)
    town = (layout.use >= int(Use.HOUSES)).float()
    wood = (wild > uniform(like, rng, 0.3, 2.0)).float() * chance(like, rng, profile.wooded) * (1 - town)
    density = torch.maximum(density, 0.95 * wood)
    beside = (road_px < 6 * metre).float() * (grain_noise(like, rng, 25.0) > uniform(like, rng, -0.5, 2.0)).float()
    density = torch.maximum(density, beside * uniform(like, rng, 0.0, 0.9))
    open_ground = free * (houses.inside_px < -0.8 * metre).float() * (road_px > 1.2 * metre).float()
    for spacing in ((4.0, 8.0), (7.0, 13.0)):
        trees = plant(density * open_ground, rng, (uniform(like, rng, *spacing) * metre).clamp_min(2.3), metre)
        crown = (trees.height_m > height).float()
        height = torch.maximum(height, trees.height_m)
        label = chosen(crown, float(Surface.CANOPY), label)
        number = torch.remainder(trees.part, CROWNS).float()
        part = chosen(crown, PARTS + number, part)
        grain = chosen(crown, 0.7 * grain + 0.08 * trees.height_m - 0.4, grain)
    return label, part, height, grain


def _parked(layout: PlotLayout, rng: torch.Generator, road_px: Tensor, so_far: tuple) -> tuple[Tensor, Tensor, Tensor]:
    label, part, height = so_far
    there, number = cars(layout, rng, road_px)
    flat = (height < 0.5).float() * there
    label = chosen(flat, float(Surface.CAR), label)
    return label, chosen(flat, PARTS + CROWNS + number, part), height + 1.5 * flat


def _look(
    field: str, label: Tensor, part: Tensor, grain: Tensor, blotch: Tensor, rng: torch.Generator, fine: float
) -> Tensor:
    """One property of all surfaces, in [0, 1]: by surface, by thing, and by texture."""
    low, high = ranges_by_surface(field, grain.device).unbind(-1)
    mean = low + (high - low) * table(grain, rng, len(Surface))
    spread = by_surface("spread", grain.device) * (0.4 + 0.9 * table(grain, rng, len(Surface)))
    single = of(part, table(grain, rng, THINGS) - 0.5)
    gain = fine * (0.3 + 1.4 * table(grain, rng, len(Surface)))
    broad = 0.12 * table(grain, rng, len(Surface))
    out = of(label, mean) + of(label, spread) * single + of(label, gain) * grain + of(label, broad) * blotch
    return out.clamp(0.0, 1.0)
