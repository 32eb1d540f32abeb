"""Land as it is, before any sensor looks: what lies where, how high, and what casts a shadow on what."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, clutter, log_uniform, uniform
from xmatch.synth.modalities.filters import grown, shrunk
from xmatch.synth.worlds.layout import bricks, cells, hashed, line, of_number, plane, table


@dataclass(frozen=True)
class Style:
    """What kind of land. Pairs are bounds of what is drawn for each scene."""

    regions: tuple[float, float]
    """Regions of one direction along a side."""
    length: tuple[float, float]
    """Of parcels, in image sides."""
    breadth: tuple[float, float]
    urban: tuple[float, float]
    """Share of regions that are built up."""
    wooded: tuple[float, float]
    """Share of the land under trees."""
    flooded: tuple[float, float]
    """Share of the land under water."""


COUNTRY = Style((2, 5), (0.08, 0.35), (0.03, 0.12), (0.0, 0.35), (0.0, 0.5), (0.0, 0.3))
TOWN = Style((2, 4), (0.04, 0.12), (0.03, 0.08), (0.7, 1.0), (0.0, 0.25), (0.0, 0.15))


@dataclass(frozen=True, eq=False)
class Ground:
    """Layers of B scenes, (B, 1, H, W) each; masks are soft, in [0, 1]."""

    parcel: Tensor
    """Number in [0, TABLE)."""
    inside: Tensor
    """(B, 2, H, W) place in the parcel, -1 to 1."""
    building: Tensor
    """Number of the building's parcel counts; 1 where a roof is."""
    roof: Tensor
    """Slope of the roof that one looks at: -1 one way, 1 the other, 0 flat or no roof."""
    road: Tensor
    lane: Tensor
    """Borders of parcels: lanes, hedges, ditches."""
    water: Tensor
    trees: Tensor
    terrain: Tensor
    """Height without what stands on it, px."""
    height: Tensor
    """Of all there is, px."""
    texture: Tensor
    """(B, 3, H, W) of unit variance: rows of crops, fine, coarse."""


def make_ground(style: Style, count: int, size: int, rng: torch.Generator) -> Ground:
    """`count` scenes of `size` x `size` px on the generator's device."""
    like = torch.zeros((count, 1, size, size), device=rng.device)
    place = plane(like, rng, 0.02)
    region, border = cells(place, uniform(like, rng, *style.regions), rng)
    angle = 3.1416 * of_number(region, table(like, rng))
    length, breadth = log_uniform(like, rng, *style.length), log_uniform(like, rng, *style.breadth)
    parcel, inside = bricks(place, angle, length, breadth, region)
    water = _below(like, rng, style.flooded)
    water = torch.maximum(water, chance(like, rng, 0.4) * line(like, rng, 3, uniform(like, rng, 3.0, 14.0)))
    wide = uniform(like, rng, 0.006, 0.02)
    road = ((wide - border) * size / 4).clamp(0.0, 1.0)
    for knots in (3, 5):
        road = torch.maximum(road, chance(like, rng, 0.6) * line(like, rng, knots, uniform(like, rng, 1.5, 5.0)))
    road = road * (1 - 0.8 * water)
    trees = _below(like, rng, style.wooded) * (1 - water) * (1 - road)
    urban = (of_number(region, table(like, rng)) < uniform(like, rng, *style.urban)).float()
    building, roof = _buildings(like, rng, parcel, inside, urban * (1 - water) * (1 - road) * (1 - trees))
    edge = (1 - inside.abs()) * torch.cat([length, breadth], 1) * size / 2
    lane = (1.2 - edge.amin(1, keepdim=True)).clamp(0.0, 1.0) * (1 - water) * (1 - building)
    terrain = uniform(like, rng, 0.0, 12.0) * blobs(like, rng, 2) + uniform(like, rng, 0.0, 3.0) * blobs(like, rng, 6)
    terrain = terrain * (1 - water)
    crowns = clutter(like, rng, 0.8, 2.2)
    tall = uniform(like, rng, 2.0, 12.0) * (0.3 + of_number(parcel, table(like, rng)))
    height = terrain + building * (tall - 0.15 * tall * roof.abs())
    height = height + trees * uniform(like, rng, 1.0, 6.0) * (1 + 0.3 * crowns)
    rows = torch.sin(inside[:, 1:] * (6 + 40 * of_number(parcel, table(like, rng)))) * 1.4
    texture = torch.cat([rows, clutter(like, rng, 0.5, 1.2), crowns], 1)
    return Ground(parcel, inside, building, roof, road, lane, water, trees, terrain, height, texture)


def shaded(height: Tensor, cos: Tensor, sin: Tensor, steep: Tensor, reach: int = 5) -> Tensor:
    """(B, 1, H, W) in [0, 1]: 1 where something towards the light hides it.

    Args:
        height: px.
        cos, sin: (B, 1, 1, 1) direction towards the light.
        steep: (B, 1, 1, 1) tangent of the light's elevation.
    """
    # Shadows are broad: half the resolution shows them, and a quarter of the work.
    low = shrunk(height, 2)
    shift = torch.cat([cos, sin], 1)[:, :, 0, 0] * (2.0 / low.shape[-1])
    dark = torch.zeros_like(low)
    grid = torch.nn.functional.affine_grid(
        torch.eye(2, 3, device=low.device).expand(len(low), 2, 3), list(low.shape), align_corners=False
    )
    for step in range(1, reach + 1):
        there = torch.nn.functional.grid_sample(
            low, grid + step * shift[:, None, None], padding_mode="border", align_corners=False
        )
        dark = torch.maximum(dark, there - low - 2 * step * steep)
    return grown(dark.clamp(0.0, 1.0), height)


def _below(like: Tensor, rng: torch.Generator, share: tuple[float, float]) -> Tensor:
    """(B, 1, H, W) soft mask over about that share of the land."""
    wanted = uniform(like, rng, *share).clamp(0.002, 0.998)
    noise = blobs(like, rng, 4) + 0.25 * blobs(like, rng, 16)
    return torch.sigmoid(14 * (0.9 * torch.special.ndtri(wanted) - noise))


def _buildings(
    like: Tensor, rng: torch.Generator, parcel: Tensor, inside: Tensor, where: Tensor
) -> tuple[Tensor, Tensor]:
    """Masks of roofs, one in most parcels: a rectangle, sometimes with a corner cut out; and the roofs' slopes."""
    half = [0.45 + 0.4 * of_number(parcel, table(like, rng)) for _ in range(2)]
    shift = [0.15 * (of_number(parcel, table(like, rng)) - 0.5) for _ in range(2)]
    x, y = inside[:, :1] - shift[0], inside[:, 1:] - shift[1]
    cut = (of_number(parcel, table(like, rng)) < 0.3) & (x > 0.1 * half[0]) & (y > 0.1 * half[1])
    built = of_number(parcel, table(like, rng)) < uniform(like, rng, 0.5, 1.0)
    # A parcel that something else crosses stays empty, or roofs would be cut by roads.
    mask = ((x.abs() < half[0]) & (y.abs() < half[1]) & built & ~cut).float() * (where > 0.5)
    gabled = of_number(hashed(parcel), table(like, rng)) < 0.6
    return mask, mask * gabled * torch.sign(y)
