"""Buildings on parcels: rectangles, some with a corner or a court taken out, under flat or pitched roofs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import uniform
from xmatch.synth.worlds.layout import PARTS, PlotLayout
from xmatch.synth.worlds.patterns import chosen, of, table
from xmatch.synth.worlds.surfaces import Use, by_use, ranges_by_use

LEAST_BUILDING_PX = 0.8
"""Half the narrower side; smaller ones would be less than two px wide."""


class Buildings(NamedTuple):
    inside_px: Tensor
    """(B, 1, H, W) depth inside the outline; negative outside."""
    height_m: Tensor
    """Height of the roof above the ground, where there is one."""
    detail: Tensor
    """What lies on the roof, about -1 to 1: ridges, seams, boxes."""


def raise_buildings(layout: PlotLayout, rng: torch.Generator) -> Buildings:
    """One building at most on each parcel, clear of the lanes."""
    like, part, use = layout.u_px, layout.part, layout.use

    def drawn() -> Tensor:
        return of(part, table(like, rng, PARTS))

    low, high = ranges_by_use("covered", like.device)[use].unbind(-1)
    share_u, share_v = (low + (high - low) * drawn() for _ in range(2))
    # Parcels without a building have one of negative size.
    there = (drawn() < by_use("built", like.device)[use]).float() - 1
    half_u, half_v = layout.half_u_px * share_u + 1e4 * there, layout.half_v_px * share_v + 1e4 * there
    # A building stands anywhere in its parcel, not just in the middle.
    u = layout.u_px - (2 * drawn() - 1) * layout.half_u_px * (1 - share_u)
    v = layout.v_px - (2 * drawn() - 1) * layout.half_v_px * (1 - share_v)
    rectangle = torch.minimum(half_u - u.abs(), half_v - v.abs())
    shape = drawn()
    cut_u, cut_v = half_u * (0.9 * drawn() - 0.2), half_v * (0.9 * drawn() - 0.2)
    corner = torch.maximum(cut_u - u, cut_v - v)
    inside = torch.minimum(rectangle, corner + 1e4 * (shape < 0.65).float())
    court = torch.maximum(u.abs() - 0.45 * half_u, v.abs() - 0.45 * half_v)
    inside = torch.minimum(inside, court + 1e4 * (shape > 0.12).float())
    inside = torch.minimum(inside, layout.lane_px - 1.5 * layout.metre_px)
    inside = inside + 1e4 * ((torch.minimum(half_u, half_v) > LEAST_BUILDING_PX).float() - 1)
    height, detail = _roof(layout, rng, (u, v), (half_u, half_v), inside, drawn)
    return Buildings(inside, height, detail)


def _roof(layout: PlotLayout, rng: torch.Generator, place: tuple, half: tuple, inside: Tensor, drawn) -> tuple:
    like, use, metre = layout.u_px, layout.use, layout.metre_px
    low, high = ranges_by_use("height_m", like.device)[use].unbind(-1)
    eaves = low + (high - low) * drawn() ** 3
    lengthwise = (half[0] > half[1]).float()
    from_ridge = chosen(lengthwise, place[1].abs(), place[0].abs())
    narrow = torch.minimum(half[0], half[1])
    kind, steep = drawn(), by_use("gables", like.device)[use]
    pitched = (kind < steep).float()
    hipped = (kind < 0.4 * steep).float()
    rise = chosen(hipped, inside.minimum(narrow), narrow - from_ridge) / metre
    height = eaves + pitched * 0.55 * rise.clamp(0.0, 8.0)
    # Flat roofs: a parapet, seams, boxes.
    flat = 1 - pitched
    parapet = (inside < 1.2).float() * (drawn() < 0.5).float()
    period = (2.5 + 6 * drawn()).maximum(0.8 * drawn() * 10 * metre)
    along = chosen((drawn() < 0.5).float(), place[0], place[1])
    seams = torch.sin((2 * math.pi) * along / period) * (drawn() < 0.45).float()
    boxes = _boxes(like, rng, place, 3.0 * metre.clamp_min(0.8)) * (drawn() < 0.7).float() * (inside > 2.0).float()
    big = (use == int(Use.HALLS)).float()
    sheds = torch.remainder(along / (8 * metre).clamp_min(3.0), 1.0) * big * (drawn() < 0.3).float()
    height = height + flat * (0.8 * parapet + 1.5 * boxes + 2.0 * sheds)
    # The two sides of a pitched roof: one in the light, one not, told apart even where slopes are too fine to shade.
    side = chosen(lengthwise, place[1], place[0]).sign() * pitched
    detail = flat * (0.5 * seams + parapet - boxes + sheds - 0.3) + pitched * 0.35 * side
    return height, detail * uniform(like, rng, 0.3, 1.0)


def _boxes(like: Tensor, rng: torch.Generator, place: tuple[Tensor, Tensor], cell_px: Tensor) -> Tensor:
    """1.0 on small rectangles strewn over roofs."""
    i, j = (place[0] / cell_px).floor(), (place[1] / cell_px).floor()
    u, v = place[0] / cell_px - i, place[1] / cell_px - j
    index = (torch.remainder(i * 37 + j * 101, 1024)).long()
    batch = torch.arange(len(like), device=like.device).reshape(-1, 1, 1, 1) * 1024
    share, size = (table(like, rng, 1024).reshape(-1)[index + batch] for _ in range(2))
    return ((share < 0.15) & ((u - 0.5).abs() < 0.2 + 0.3 * size) & ((v - 0.5).abs() < 0.5 - 0.3 * size)).float()
