"""Where things lie, from noise and hashing alone: cells and lines on the plane, and the numbers of things."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, positions, uniform
from xmatch.synth.modalities.filters import slopes

TABLE = 1024
"""Numbers that a thing may have; what is known of it is looked up in tables of this length."""


def plane(like: Tensor, rng: torch.Generator, bend: float) -> Tensor:
    """(B, 2, H, W) x and y in [0, 1] over the image, bent by smooth noise of standard deviation `bend`."""
    down, across = positions(like)
    flat = torch.stack(torch.meshgrid(across, down, indexing="xy"))[None]
    if bend == 0:
        return flat.expand(len(like), -1, -1, -1)
    return flat + bend * torch.cat([blobs(like, rng, 3), blobs(like, rng, 3)], 1)


def hashed(*numbers: Tensor) -> Tensor:
    """Whole numbers -> a number in [0, TABLE), the same for the same numbers, otherwise without any order."""
    mixed = torch.zeros_like(numbers[0])
    for number, prime in zip(numbers, (73856093, 19349663, 83492791), strict=False):
        mixed = (mixed ^ (number * prime)) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0x7FFFFFFF
    return (mixed ^ (mixed >> 15)) % TABLE


def of_number(number: Tensor, table: Tensor) -> Tensor:
    """(B, 1, H, W) entry of each image's own table (B, TABLE) under (B, 1, H, W) numbers."""
    return table.gather(1, number.flatten(1)).view_as(number)


def table(like: Tensor, rng: torch.Generator) -> Tensor:
    """(B, TABLE) numbers uniform in [0, 1)."""
    return torch.rand((len(like), TABLE), generator=rng, device=like.device)


def cells(place: Tensor, count: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Voronoi cells of one jittered point in each square of a grid (Worley 1996).

    Args:
        place: (B, 2, H, W) from `plane`.
        count: (B, 1, 1, 1) squares along a side.

    Returns:
        (B, 1, H, W) number of the cell, and the distance to its border as a share of a square.
    """
    scaled = place * count + 8.0
    square = scaled.floor()
    jitter = [table(place, rng), table(place, rng)]
    nearest = scaled.new_full(scaled[:, :1].shape, 9.0)
    second, number = nearest, square[:, :1].long()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            x, y = square[:, :1] + dx, square[:, 1:] + dy
            here = hashed(x.long(), y.long())
            from_x = x + 0.1 + 0.8 * of_number(here, jitter[0]) - scaled[:, :1]
            from_y = y + 0.1 + 0.8 * of_number(here, jitter[1]) - scaled[:, 1:]
            distance = torch.sqrt(from_x * from_x + from_y * from_y)
            closer = distance < nearest
            second = torch.where(closer, nearest, torch.minimum(second, distance))
            number = torch.where(closer, here, number)
            nearest = torch.where(closer, distance, nearest)
    return number, (second - nearest) / 2


def line(like: Tensor, rng: torch.Generator, knots: int, width: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1]: 1 on winding lines of `width` px, soft at their edges: zeros of smooth noise."""
    return (width / 2 + 0.5 - from_zero(blobs(like, rng, knots) + uniform(like, rng, -0.5, 0.5))).clamp(0.0, 1.0)


def from_zero(field: Tensor) -> Tensor:
    """Distance in px, to first order, to where a smooth field (B, 1, H, W) changes its sign."""
    along_x, along_y = slopes(field)
    return field.abs() / (along_x.square() + along_y.square()).sqrt().clamp_min(1e-4)
