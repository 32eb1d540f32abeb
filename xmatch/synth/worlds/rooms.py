"""Rooms with furniture, seen in perspective by casting one ray through every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import clutter, uniform
from xmatch.synth.worlds.furniture import BOXES, Planes, Things, furnished, leaves, meets
from xmatch.synth.worlds.places import hashed, of_number, table

NEAREST = 0.3
"""Metres; what is closer to the camera is not seen."""


@dataclass(frozen=True, eq=False)
class Room:
    """What B cameras look at, (B, 1, H, W) each unless said otherwise."""

    depth: Tensor
    """Metres along the viewing direction."""
    normal: Tensor
    """(B, 3, H, W) of length 1, in the room's axes, towards the camera's side."""
    point: Tensor
    """(B, 3, H, W) metres in the room's axes."""
    thing: Tensor
    """Number of the thing, 0 for the room itself."""
    face: Tensor
    """Number of the face that is seen, in [0, TABLE)."""
    panel: Tensor
    """Number of the picture, door, screen or rug on the face, in [0, TABLE)."""
    on_panel: Tensor
    """1 inside of a panel, else 0."""
    print: Tensor
    """Pattern of the face in [-1, 1]: tiles, stripes, or nothing."""
    weave: Tensor
    """Fine texture of unit variance, of strength by face."""
    paint: Tensor
    """Grey of the surface, 0 to 1, on which sensors of light agree more or less."""
    things: Things


def make_room(count: int, size: int, rng: torch.Generator) -> Room:
    """The camera stands near one end of a room of 3 to 8 m and looks along it, turned and tilted a little."""
    like = torch.zeros((count, 1, size, size), device=rng.device)
    start, rays, step = _rays(like, rng)
    sides = [uniform(like, rng, 1.5, 3.5), uniform(like, rng, 1.2, 1.6), uniform(like, rng, 3.0, 4.5)]
    half = torch.cat(sides, 1)[:, :, 0, 0]
    things = furnished(half, rng)
    depth, thing = _nearest(things, half, start, rays)
    point = torch.cat([s + depth * ray for s, ray in zip(start, rays, strict=True)], 1)
    normal, own, axis, side = _surface(things, half, thing, point)
    face = hashed(thing, axis + 3 * side)
    u, v = torch.where(axis == 0, own[:, 2:], own[:, :1]), torch.where(axis == 1, own[:, 2:], own[:, 1:2])
    slant = sum(n * ray for n, ray in zip(normal.split(1, 1), rays, strict=True)).abs().clamp_min(0.05)
    panel, on_panel = _panels(like, rng, face, u, v)
    paint = of_number(face, table(like, rng))
    paint = torch.where(on_panel > 0, of_number(panel, table(like, rng)), paint)
    weave = clutter(like, rng, 0.6, 2.0) * of_number(face, table(like, rng)) ** 2
    prints = _prints(like, rng, face, u, v, depth * step / slant)
    return Room(depth, normal, point, thing, face, panel, on_panel, prints, weave, paint, things)


def _rays(like: Tensor, rng: torch.Generator) -> tuple[Planes, Planes, Tensor]:
    """Where cameras stand, rays whose step along the viewing direction is 1, and the step of a px at distance 1."""
    size = like.shape[-1]
    wide = torch.tan(uniform(like, rng, 0.35, 0.6))
    x = wide * (2 * (torch.arange(size, device=like.device) + 0.5) / size - 1)
    y = x.transpose(2, 3)
    pan, tilt = uniform(like, rng, -0.45, 0.45), uniform(like, rng, -0.4, 0.15)
    ahead = tilt.cos() - tilt.sin() * -y  # tilted first (down is negative), then turned
    down = tilt.cos() * y - tilt.sin()
    rays = (pan.cos() * x + pan.sin() * ahead, down.expand_as(like), pan.cos() * ahead - pan.sin() * x)
    start = (uniform(like, rng, -1.0, 1.0), uniform(like, rng, -0.7, 0.2), uniform(like, rng, -2.8, -1.8))
    return start, rays, 2 * wide / size


def _nearest(things: Things, half: Tensor, start: Planes, rays: Planes) -> tuple[Tensor, Tensor]:
    """Depth of what is met first, and its number."""
    depth = leaves(half, start, rays)
    thing = torch.zeros_like(depth, dtype=torch.long)
    for number in range(things.turn.shape[1]):
        enter, leave = meets(things, number, start, rays)
        closer = (enter < leave) & (enter > NEAREST) & (enter < depth)
        depth = torch.where(closer, enter, depth)
        thing.masked_fill_(closer, number + 1)
    return depth, thing


def _surface(things: Things, half: Tensor, thing: Tensor, point: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, 3, H, W) normal in the room's axes and place in the thing's own; the face's axis, and 1 if along it."""
    zero = torch.zeros_like(half[:, :1])
    cos, sin = (of_number(thing, torch.cat([first, values], 1)) for first, values in _turns(things, zero))
    middle, sides = (
        torch.cat([of_number(thing, torch.cat([first[:, i : i + 1], values[..., i]], 1)) for i in range(3)], 1)
        for first, values in ((torch.zeros_like(half), things.middle), (half, things.half))
    )
    x, y, z = (point - middle).split(1, 1)
    own = torch.cat([cos * x + sin * z, y, cos * z - sin * x], 1)
    unit = own / sides
    far, axis = unit.abs().max(1, keepdim=True)
    flat = unit.sign() * (unit.abs() == far)
    flat = torch.where(thing == 0, -flat, flat)
    round_ = torch.nn.functional.normalize(unit / sides, dim=1)
    ball = thing > BOXES
    side = (unit.gather(1, axis) > 0).long()
    axis, side = (values.masked_fill(ball, 0) for values in (axis, side))
    x, y, z = torch.where(ball, round_, flat).split(1, 1)
    return torch.cat([cos * x - sin * z, y, sin * x + cos * z], 1), own, axis, side


def _turns(things: Things, zero: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (zero + 1, things.turn.cos()), (zero, things.turn.sin())


def _panels(like: Tensor, rng: torch.Generator, face: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Rectangles in a grid on every face: their numbers, and where they are."""
    wide, high, gap, share = (of_number(face, table(like, rng)) for _ in range(4))
    u, v = u / (0.3 + wide) + wide, v / (0.25 + 0.8 * high) + high
    column, row = u.floor(), v.floor()
    panel = hashed(face, column.long() + 64, row.long() + 64)
    off_middle = torch.maximum((u - column - 0.5).abs(), (v - row - 0.5).abs())
    present = of_number(panel, table(like, rng)) < 0.8 * share
    return panel, ((off_middle < 0.2 + 0.28 * gap) & present).float()


def _prints(like: Tensor, rng: torch.Generator, face: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """Tiles or stripes in a face's own plane, on half of the faces, gone where a px (of so many m) cannot show them."""
    scale = 1 + 10 * of_number(face, table(like, rng)) ** 2
    kind = of_number(face, table(like, rng))
    stripes, other = torch.sin(6.28 * scale * u), torch.sin(6.28 * scale * v)
    pattern = torch.where(kind < 0.2, stripes, torch.where(kind < 0.35, other, 1.4 * stripes * other))
    resolved = (2 - 5 * scale * footprint).clamp(0.0, 1.0)
    return (3 * pattern * (kind < 0.5)).tanh() * resolved
