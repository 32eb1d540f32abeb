"""Things in a room, and where rays meet them: boxes turned about the vertical, and ellipsoids in such boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

BOXES = 12
"""Four that stand, a table of a top and four legs, two that hang on the far wall, one on the table."""
BALLS = 2
"""One on the table, one on the floor."""
MISS = 1e4

Planes = tuple[Tensor, Tensor, Tensor]
"""x, y and z, each (B, 1, H, W) or (B, 1, 1, 1)."""


@dataclass(frozen=True, eq=False)
class Things:
    """N things in B rooms; x goes right, y down, z ahead, in metres. The first BOXES are boxes, the rest ellipsoids."""

    middle: Tensor
    """(B, N, 3)."""
    half: Tensor
    """(B, N, 3) half of the sides, in the thing's own axes."""
    turn: Tensor
    """(B, N) radians about the vertical."""


def furnished(half: Tensor, rng: torch.Generator) -> Things:
    """Things for rooms with half sides (B, 3) around the origin; floor at +y, far wall at +z."""

    def drawn(number: int, low: tuple[float, float, float], high: tuple[float, float, float]) -> Tensor:
        share = torch.rand((len(half), number, 3), generator=rng, device=half.device)
        return half.new_tensor(low) + (half.new_tensor(high) - half.new_tensor(low)) * share

    floor, wall = half[:, None, 1:2], half[:, None, 2:]
    size = torch.cat(
        [
            drawn(4, (0.15, 0.1, 0.15), (0.7, 0.9, 0.7)),
            drawn(1, (0.4, 0.02, 0.3), (0.9, 0.06, 0.6)),
            drawn(1, (0.02, 0.3, 0.02), (0.05, 0.5, 0.05)).expand(-1, 4, -1),
            drawn(2, (0.15, 0.1, 0.03), (0.8, 0.5, 0.3)),
            drawn(1, (0.05, 0.05, 0.05), (0.25, 0.25, 0.2)),
            drawn(1, (0.05, 0.05, 0.05), (0.2, 0.25, 0.2)),
            drawn(1, (0.15, 0.15, 0.15), (0.45, 0.9, 0.45)),
        ],
        1,
    )
    place = drawn(BOXES + BALLS, (-1.0, -1.0, -0.2), (1.0, 1.0, 1.0)) * (half[:, None] - 0.3)
    angle = math.pi * drawn(BOXES + BALLS, (0.0,) * 3, (1.0,) * 3)[..., 0]
    # Much of what stands in rooms stands square to the walls.
    square = drawn(BOXES + BALLS, (0.0,) * 3, (1.0,) * 3)[..., 0] < 0.4
    turn = torch.where(square, torch.zeros_like(angle), angle)
    turn[:, 4:12] = turn[:, 4:5] * half.new_tensor([1, 1, 1, 1, 1, 0, 0, 1])  # legs with their table; walls
    place[..., 1:2] = floor - size[..., 1:2]
    place[:, 9:11, 1] = 0.6 * place[:, 9:11, 0].sin() * half[:, 1:2]
    place[:, 9:11, 2:] = wall - size[:, 9:11, 2:]
    top = floor - 2 * size[:, 5:6, 1:2]
    place[:, 4:5, 1:2] = top
    corners = half.new_tensor([[-0.9, 0, -0.9], [0.9, 0, -0.9], [-0.9, 0, 0.9], [0.9, 0, 0.9]])
    on_top = half.new_tensor([[-0.5, 0, 0.3], [0.4, 0, -0.2]])
    cos, sin = turn[:, 4:5].cos(), turn[:, 4:5].sin()
    for rows, offsets in ((slice(5, 9), corners), (slice(11, 13), on_top)):
        x, z = offsets[:, 0] * size[:, 4:5, 0], offsets[:, 2] * size[:, 4:5, 2]
        place[:, rows, 0] = place[:, 4:5, 0] + cos * x - sin * z
        place[:, rows, 2] = place[:, 4:5, 2] + sin * x + cos * z
    place[:, 11:13, 1:2] = top - size[:, 4:5, 1:2] - size[:, 11:13, 1:2]
    return Things(place, size, turn)


def meets(things: Things, number: int, start: Planes, ray: Planes) -> tuple[Tensor, Tensor]:
    """Steps along the rays at which they enter and leave a thing; where they miss it, it is left before it is entered.

    Slabs after Kay and Kajiya (SIGGRAPH 1986); an ellipsoid is the unit sphere in axes divided by its half sides.
    """
    middle, half = (_planes(values[:, number]) for values in (things.middle, things.half))
    angle = things.turn[:, number, None, None, None]
    cos, sin = angle.cos(), angle.sin()
    from_x, from_y, from_z = (s - m for s, m in zip(start, middle, strict=True))
    begin = ((cos * from_x + sin * from_z), from_y, (cos * from_z - sin * from_x))
    along = ((cos * ray[0] + sin * ray[2]), ray[1], (cos * ray[2] - sin * ray[0]))
    return _slabs(begin, along, half) if number < BOXES else _sphere(begin, along, half)


def leaves(half: Tensor, start: Planes, ray: Planes) -> Tensor:
    """Steps after which rays from within meet the walls of the room (B, 3)."""
    return _slabs(start, ray, _planes(half))[1]


def _planes(values: Tensor) -> Planes:
    """(B, 3) as three planes (B, 1, 1, 1)."""
    x, y, z = values[:, :, None, None, None].unbind(1)
    return x, y, z


def _slabs(begin: Planes, along: Planes, half: Planes) -> tuple[Tensor, Tensor]:
    nearest, farthest = [], []
    for b, a, h in zip(begin, along, half, strict=True):
        inverse = 1 / (a + 1e-7)
        one, other = (-h - b) * inverse, (h - b) * inverse
        nearest.append(torch.minimum(one, other))
        farthest.append(torch.maximum(one, other))
    return reduce(torch.maximum, nearest), reduce(torch.minimum, farthest)


def _sphere(begin: Planes, along: Planes, half: Planes) -> tuple[Tensor, Tensor]:
    scaled = [(b / h, a / h) for b, a, h in zip(begin, along, half, strict=True)]
    square, mixed, begun = (
        reduce(torch.add, products)
        for products in ([a * a for _, a in scaled], [a * b for b, a in scaled], [b * b for b, _ in scaled])
    )
    under = mixed * mixed - square * (begun - 1)
    root = under.clamp_min(0.0).sqrt()
    missed = MISS * (under <= 0)
    return (-mixed - root) / square + missed, (-mixed + root) / square - missed
