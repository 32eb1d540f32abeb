"""Trees seen from above: crowns in a loose grid, dense in woods, single elsewhere."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import uniform
from xmatch.synth.worlds.patterns import flat_index, grain_noise, of, pixel_centres, table

CROWNS = 4096
"""Numbers of trees; beyond, they repeat."""


class Trees(NamedTuple):
    height_m: Tensor
    """(B, 1, H, W) height of the crowns, 0 where there are none."""
    part: Tensor
    """`flat_index` of the tree, in tables (B, CROWNS)."""


def plant(density: Tensor, rng: torch.Generator, cell_px: Tensor, metre_px: Tensor) -> Trees:
    """Crowns where `density` (B, 1, H, W) in [0, 1] has them; `cell_px` (B, 1, 1, 1) apart, none reaching further."""
    x, y = pixel_centres(density)
    angle = uniform(density, rng, 0.0, math.pi)
    cos, sin = angle.cos(), angle.sin()
    # Bent at random, so that the grid does not show; large crowns less, as that would bend them too.
    bend = 0.5 * (4 / cell_px).clamp_max(1.0)
    u = (x * cos + y * sin) / cell_px + bend * grain_noise(density, rng, 14.0)
    v = (y * cos - x * sin) / cell_px + bend * grain_noise(density, rng, 14.0)
    i, j = u.floor(), v.floor()
    index = flat_index(torch.remainder(i * 71 + torch.remainder(j, CROWNS) * 193, CROWNS), CROWNS)
    radius = 0.22 + 0.28 * of(index, table(density, rng, CROWNS))
    off_u, off_v = ((2 * of(index, table(density, rng, CROWNS)) - 1) * (0.5 - radius) for _ in range(2))
    du, dv = u - i - 0.5 - off_u, v - j - 0.5 - off_v
    there = _at_crown(density, (x, y), (du * cell_px, dv * cell_px), (cos, sin))
    there = (of(index, table(density, rng, CROWNS)) < there).float()
    bulge = (1 - (du**2 + dv**2) / radius**2).clamp_min(0.0).sqrt()
    height = (1.3 * radius * cell_px / metre_px).clamp(2.0, 25.0)
    return Trees(there * height * (0.35 * (bulge > 0) + 0.65 * bulge), index)


def _at_crown(density: Tensor, place: tuple, offset: tuple, turn: tuple) -> Tensor:
    """`density` at the crown's middle, so that crowns are whole."""
    height, width = density.shape[-2:]
    cos, sin = turn
    x = (place[0] - (offset[0] * cos - offset[1] * sin)).clamp(0, width - 1).floor()
    y = (place[1] - (offset[0] * sin + offset[1] * cos)).clamp(0, height - 1).floor()
    first = torch.arange(len(density), device=density.device).reshape(-1, 1, 1, 1) * (height * width)
    index = (y * width + x).to(torch.int64) + first
    return density.reshape(-1).index_select(0, index.reshape(-1)).reshape(density.shape)
