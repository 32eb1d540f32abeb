"""What the ground of land and towns is made of, and what stands where: the vocabulary and its numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor


class Surface(IntEnum):
    GRASS = 0
    CROP = 1
    SOIL = 2
    SCRUB = 3
    WATER = 4
    ROAD = 5
    PAVED = 6
    GRAVEL = 7
    ROOF = 8
    CANOPY = 9
    CAR = 10
    SAND = 11


class SurfaceNumbers(NamedTuple):
    """Ranges from which a scene draws what a surface is like; all in [0, 1] but for `spread`."""

    albedo: tuple[float, float]
    temperature: tuple[float, float]
    """Wide: what is warm by day is cold by night."""
    roughness: tuple[float, float]
    green: float
    """How much it is vegetation."""
    texture: float
    """How strong its fine texture is."""
    spread: float
    """How far apart single things of this surface lie (two fields, two roofs)."""


SURFACES: dict[Surface, SurfaceNumbers] = {
    Surface.GRASS: SurfaceNumbers((0.25, 0.50), (0.20, 0.70), (0.35, 0.55), 0.9, 0.5, 0.15),
    Surface.CROP: SurfaceNumbers((0.20, 0.60), (0.10, 0.80), (0.30, 0.60), 0.8, 0.5, 0.45),
    Surface.SOIL: SurfaceNumbers((0.40, 0.75), (0.20, 0.90), (0.25, 0.55), 0.1, 0.7, 0.30),
    Surface.SCRUB: SurfaceNumbers((0.20, 0.45), (0.20, 0.80), (0.45, 0.65), 0.6, 1.0, 0.20),
    Surface.WATER: SurfaceNumbers((0.02, 0.30), (0.00, 1.00), (0.00, 0.06), 0.0, 0.1, 0.05),
    Surface.ROAD: SurfaceNumbers((0.25, 0.65), (0.20, 1.00), (0.05, 0.25), 0.0, 0.2, 0.05),
    Surface.PAVED: SurfaceNumbers((0.35, 0.75), (0.20, 1.00), (0.10, 0.35), 0.0, 0.35, 0.25),
    Surface.GRAVEL: SurfaceNumbers((0.50, 0.90), (0.20, 0.90), (0.15, 0.45), 0.0, 0.4, 0.10),
    Surface.ROOF: SurfaceNumbers((0.30, 0.90), (0.00, 1.00), (0.55, 0.90), 0.0, 1.0, 0.50),
    Surface.CANOPY: SurfaceNumbers((0.08, 0.30), (0.10, 0.70), (0.60, 0.80), 1.0, 1.0, 0.15),
    Surface.CAR: SurfaceNumbers((0.20, 1.00), (0.00, 1.00), (0.80, 1.00), 0.0, 0.1, 0.80),
    Surface.SAND: SurfaceNumbers((0.60, 0.95), (0.20, 0.90), (0.15, 0.35), 0.0, 0.5, 0.10),
}


class Use(IntEnum):
    """What a plot of land serves."""

    FIELD = 0
    MEADOW = 1
    WOOD = 2
    ORCHARD = 3
    POND = 4
    BARE = 5
    WILD = 6
    HOUSES = 7
    BLOCKS = 8
    HALLS = 9
    PARKING = 10
    PARK = 11


class UseNumbers(NamedTuple):
    ground: Surface
    trees: float
    """Share of places for trees that bear one."""
    built: float
    """Share of parcels that bear a building."""
    covered: tuple[float, float]
    """Range of the share of a parcel's sides that a building takes."""
    height_m: tuple[float, float]
    parcel_m: float
    """Breadth of a parcel; fields are cut into few strips instead."""
    strips: float
    """Share of plots that are cut into parallel strips."""
    gables: float
    """Share of buildings whose roofs are pitched."""


USES: dict[Use, UseNumbers] = {
    Use.FIELD: UseNumbers(Surface.CROP, 0.00, 0.00, (0.3, 0.6), (3, 8), 400.0, 0.5, 0.8),
    Use.MEADOW: UseNumbers(Surface.GRASS, 0.05, 0.02, (0.1, 0.3), (3, 8), 300.0, 0.1, 0.8),
    Use.WOOD: UseNumbers(Surface.CANOPY, 0.95, 0.00, (0.1, 0.3), (3, 8), 400.0, 0.0, 0.8),
    Use.ORCHARD: UseNumbers(Surface.GRASS, 0.60, 0.00, (0.1, 0.3), (3, 8), 200.0, 0.2, 0.8),
    Use.POND: UseNumbers(Surface.WATER, 0.00, 0.00, (0.1, 0.3), (3, 8), 150.0, 0.2, 0.8),
    Use.BARE: UseNumbers(Surface.SOIL, 0.02, 0.02, (0.2, 0.5), (3, 8), 200.0, 0.2, 0.5),
    Use.WILD: UseNumbers(Surface.SCRUB, 0.25, 0.00, (0.1, 0.3), (3, 8), 400.0, 0.0, 0.8),
    Use.HOUSES: UseNumbers(Surface.GRASS, 0.22, 0.88, (0.35, 0.75), (3, 9), 19.0, 0.0, 0.85),
    Use.BLOCKS: UseNumbers(Surface.PAVED, 0.04, 0.93, (0.55, 1.0), (6, 40), 26.0, 0.0, 0.25),
    Use.HALLS: UseNumbers(Surface.PAVED, 0.02, 0.80, (0.5, 0.95), (5, 14), 75.0, 0.0, 0.25),
    Use.PARKING: UseNumbers(Surface.PAVED, 0.05, 0.00, (0.1, 0.3), (3, 8), 90.0, 0.0, 0.0),
    Use.PARK: UseNumbers(Surface.GRASS, 0.35, 0.04, (0.1, 0.3), (3, 8), 120.0, 0.0, 0.5),
}


class Zone(NamedTuple):
    """A part of the plane with one grid of plots."""

    uses: tuple[tuple[Use, float], ...]
    """Uses of its plots and their shares."""
    plot_m: tuple[tuple[float, float], tuple[float, float]]
    """Ranges of the plots' length and breadth."""
    lane_m: tuple[float, float]
    """Range of the width of the lanes between plots."""
    laned: float
    """Share of borders between plots with a lane."""
    uneven: float
    """How uneven plots are, from 0 to 0.4."""


ZONES: dict[str, Zone] = {
    "farmland": Zone(
        ((Use.FIELD, 11), (Use.MEADOW, 2), (Use.WOOD, 1), (Use.BARE, 1), (Use.HOUSES, 0.5), (Use.POND, 0.5)),
        ((70, 320), (50, 220)),
        (2.0, 6.0),
        0.45,
        0.38,
    ),
    "woodland": Zone(
        ((Use.WOOD, 12), (Use.MEADOW, 2), (Use.BARE, 1), (Use.WILD, 1)), ((150, 500), (100, 400)), (2.0, 5.0), 0.3, 0.4
    ),
    "wilds": Zone(
        ((Use.WILD, 12), (Use.BARE, 2), (Use.WOOD, 1), (Use.POND, 0.5)), ((200, 700), (200, 500)), (2.0, 4.0), 0.15, 0.4
    ),
    "village": Zone(
        ((Use.HOUSES, 9), (Use.MEADOW, 2), (Use.ORCHARD, 2), (Use.HALLS, 1), (Use.FIELD, 2)),
        ((60, 160), (45, 100)),
        (4.0, 8.0),
        0.8,
        0.35,
    ),
    "suburb": Zone(
        ((Use.HOUSES, 13), (Use.PARK, 1), (Use.BLOCKS, 1), (Use.PARKING, 0.5), (Use.HALLS, 0.5)),
        ((70, 220), (45, 80)),
        (6.0, 11.0),
        1.0,
        0.15,
    ),
    "centre": Zone(
        ((Use.BLOCKS, 12), (Use.PARKING, 1), (Use.PARK, 1), (Use.HOUSES, 1), (Use.BARE, 0.5)),
        ((50, 150), (45, 120)),
        (7.0, 20.0),
        1.0,
        0.2,
    ),
    "works": Zone(
        ((Use.HALLS, 9), (Use.PARKING, 3), (Use.BARE, 2), (Use.BLOCKS, 1), (Use.MEADOW, 1)),
        ((110, 330), (80, 220)),
        (7.0, 14.0),
        0.9,
        0.3,
    ),
}
"""Zones by name."""

SLOTS = 16
"""A zone's uses as so many equal shares."""


def palette(names: tuple[str, ...]) -> list[float]:
    """Uses of the zones `names`, `SLOTS` each, one after the other."""
    slots: list[float] = []
    for name in names:
        uses, weights = zip(*ZONES[name].uses, strict=True)
        total, reached = sum(weights), 0.0
        mine: list[float] = []
        for use, weight in zip(uses, weights, strict=True):
            reached += weight
            mine += [float(use)] * (round(SLOTS * reached / total) - len(mine))
        slots += mine
    return slots


def by_use(field: str, device: torch.device) -> Tensor:
    """(uses,) one number of every use."""
    return torch.tensor([float(getattr(USES[use], field)) for use in Use], device=device)


def ranges_by_use(field: str, device: torch.device) -> Tensor:
    """(uses, 2) a range of every use."""
    return torch.tensor([getattr(USES[use], field) for use in Use], dtype=torch.float32, device=device)


def by_surface(field: str, device: torch.device) -> Tensor:
    """(surfaces,) one number of every surface."""
    return torch.tensor([float(getattr(SURFACES[kind], field)) for kind in Surface], device=device)


def ranges_by_surface(field: str, device: torch.device) -> Tensor:
    """(surfaces, 2) a range of every surface."""
    return torch.tensor([getattr(SURFACES[kind], field) for kind in Surface], dtype=torch.float32, device=device)
