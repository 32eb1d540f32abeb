"""Cars: along lanes, and in rows on parking grounds."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import uniform
from xmatch.synth.worlds.layout import PARTS, PlotLayout
from xmatch.synth.worlds.patterns import chosen, flat_index, of, table
from xmatch.synth.worlds.surfaces import Use

CARS = 2048
"""Numbers of cars; beyond, they repeat."""
CAR_M = (4.4, 1.9)
"""Length and breadth of a usual car."""
LEAST_CAR_PX = 0.7
"""Narrower cars are left out."""


def cars(layout: PlotLayout, rng: torch.Generator, road_px: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1, H, W) 1.0 on cars, and the number of the car, below `CARS`."""
    metre, like = layout.metre_px, road_px
    large = (metre * CAR_M[1] > LEAST_CAR_PX).float()
    lane = _row(
        like,
        rng,
        chosen(layout.lane_along, layout.along_px, layout.across_px) / metre,
        layout.lane_px / metre + uniform(like, rng, 1.6, 2.6),
        uniform(like, rng, 6.0, 14.0),
        uniform(like, rng, 0.0, 0.45),
    )
    on_lane = lane[0] * (road_px <= layout.lane_px + 0.5).float() * (layout.lane_px < 0).float()
    # Rows of bays, 2.7 m broad, on both sides of an aisle.
    bay_px, row_px = 2.7 * metre, 8.0 * metre
    i, j = (layout.u_px / bay_px).floor(), (layout.v_px / row_px).floor()
    u, v = layout.u_px / metre - (i + 0.5) * 2.7, layout.v_px / metre - (j + 0.5) * 8.0
    number = torch.remainder(i * 59 + j * 983 + 7 * torch.remainder(layout.part, PARTS).float(), CARS)
    index = flat_index(number, CARS)
    full = of(layout.part, table(like, rng, PARTS))
    in_bay = (u.abs() < 0.5 * CAR_M[1]).float() * (v.abs() < 0.5 * CAR_M[0]).float()
    in_bay = in_bay * (of(index, table(like, rng, CARS)) < full).float()
    in_bay = in_bay * (layout.use == int(Use.PARKING)).float() * (road_px > 2 * metre).float()
    return large * torch.maximum(on_lane, in_bay), chosen(in_bay, number, lane[1])


def _row(
    like: Tensor, rng: torch.Generator, along_m: Tensor, across_m: Tensor, gap_m: Tensor, full: Tensor
) -> tuple[Tensor, Tensor]:
    """Cars one behind the other where `across_m` is near 0."""
    place = (along_m / gap_m).floor()
    number = torch.remainder(place * 31 + torch.round(across_m * 0.02) * 977, CARS)
    there = (of(flat_index(number, CARS), table(like, rng, CARS)) < full).float()
    long = ((along_m - (place + 0.5) * gap_m).abs() < 0.5 * CAR_M[0]).float()
    return there * long * (across_m.abs() < 0.5 * CAR_M[1]).float(), number
