"""Rooms with boxes, seen in perspective by casting one ray through every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, spots, uniform, white
from xmatch.synth.modalities.filters import blurred
from xmatch.synth.worlds.layout import hashed, of_number, table

BOXES = 6
FAR = 1e4


@dataclass(frozen=True, eq=False)
class Room:
    """What B cameras look at, (B, 1, H, W) each unless said otherwise."""

    depth: Tensor
    """Metres along the viewing direction."""
    normal: Tensor
    """(B, 3, H, W) of length 1, towards the camera's side."""
    thing: Tensor
    """Number of the face that is seen, in [0, TABLE)."""
    print: Tensor
    """Pattern of the face in [0, 1]: tiles, stripes, or nothing."""
    point: Tensor
    """(B, 3, H, W) metres in the room."""


def make_room(count: int, size: int, rng: torch.Generator) -> Room:
    """The camera stands near one end of a room of 3 to 8 m and looks along it, turned and tilted a little."""
    like = torch.zeros((count, 1, size, size), device=rng.device)
    origin, rays = _rays(like, rng)
    half = torch.cat([uniform(like, rng, 1.5, 4.0), uniform(like, rng, 1.2, 1.7), uniform(like, rng, 3.0, 5.0)], 1)
    half = half[:, :, 0, 0][:, None]  # (B, 1, 3) of the room
    box_half = torch.rand((count, BOXES, 3), generator=rng, device=rng.device) * 0.6 + 0.1
    middle = (torch.rand((count, BOXES, 3), generator=rng, device=rng.device) * 2 - 1) * (half - 0.3)
    middle[..., 1] = (half - box_half)[..., 1]  # they stand on the floor
    turn = torch.rand((count, BOXES), generator=rng, device=rng.device) * math.pi
    room = _slabs(origin, rays, torch.zeros_like(half), half, torch.zeros_like(turn[:, :1]), inside=True)
    boxes = _slabs(origin, rays, middle, box_half, turn, inside=False)
    reach, face, place = (torch.cat([a, b], 1) for a, b in zip(room, boxes, strict=True))
    nearest = reach.argmin(1, keepdim=True)
    pick = nearest[..., None].expand(-1, -1, -1, -1, 3)
    face, place = face.gather(1, pick)[:, 0].movedim(-1, 1), place.gather(1, pick)[:, 0].movedim(-1, 1)
    side = (face.abs() * face.new_tensor([1.0, 2.0, 3.0])[:, None, None]).sum(1, keepdim=True) + 3 * (
        face.sum(1, keepdim=True) > 0
    )
    thing = hashed(nearest, side.long())
    depth = reach.gather(1, nearest)
    return Room(depth, face, thing, _prints(like, rng, thing, place, face), place)


def _rays(like: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B, 3) where cameras stand, (B, H, W, 3) rays whose step along the viewing direction is 1; y points down."""
    size = like.shape[-1]
    span = torch.tan(uniform(like, rng, 0.35, 0.65)) * (2 * (torch.arange(size, device=like.device) + 0.5) / size - 1)
    x, y = span.expand(-1, 1, size, size)[:, 0], span.expand(-1, 1, size, size)[:, 0].transpose(1, 2)
    rays = torch.stack([x, y, torch.ones_like(x)], -1)
    pan, tilt = (uniform(like, rng, -a, a)[:, 0, 0, 0] for a in (0.6, 0.3))
    zero, one = torch.zeros_like(pan), torch.ones_like(pan)
    across = torch.stack([pan.cos(), zero, -pan.sin(), zero, one, zero, pan.sin(), zero, pan.cos()], -1).view(-1, 3, 3)
    down = torch.stack([one, zero, zero, zero, tilt.cos(), tilt.sin(), zero, -tilt.sin(), tilt.cos()], -1).view(
        -1, 3, 3
    )
    origin = torch.cat([uniform(like, rng, -a, b)[:, :, 0, 0] for a, b in ((1.0, 1.0), (0.6, 0.3), (2.8, -1.5))], 1)
    return origin, rays @ (down @ across)[:, None]


def _slabs(origin: Tensor, rays: Tensor, middle: Tensor, half: Tensor, turn: Tensor, *, inside: bool):
    """Where rays meet boxes turned about the vertical (slab method, Kay and Kajiya 1986).

    Returns:
        (B, N, H, W) steps along the ray, (B, N, H, W, 3) outward normal and place, both in the box's own axes.
    """
    cos, sin, zero, one = turn.cos(), turn.sin(), torch.zeros_like(turn), torch.ones_like(turn)
    about = torch.stack([cos, zero, -sin, zero, one, zero, sin, zero, cos], -1).view(*turn.shape, 3, 3)
    start = torch.einsum("bni,bnij->bnj", origin[:, None] - middle, about)[:, :, None, None]
    ray = torch.einsum("bhwi,bnij->bnhwj", rays, about)
    ray = torch.where(ray.abs() < 1e-6, torch.full_like(ray, 1e-6), ray)
    size = half[:, :, None, None]
    near, far = (-size * ray.sign() - start) / ray, (size * ray.sign() - start) / ray
    enter, leave = near.amax(-1), far.amin(-1)
    steps = leave if inside else torch.where((enter < leave) & (enter > 0.2), enter, torch.full_like(enter, FAR))
    hit = far == leave[..., None] if inside else near == enter[..., None]
    normal = -hit.float() * ray.sign()
    return steps, normal, start + steps[..., None] * ray


def _prints(like: Tensor, rng: torch.Generator, thing: Tensor, place: Tensor, face: Tensor) -> Tensor:
    """Tiles or stripes in a face's own plane, on about two faces in three."""
    free = place * (1 - face.abs())
    u, v = free[:, :1] + free[:, 1:2], free[:, 2:] + 0.7 * free[:, 1:2]
    scale = 2 + 12 * of_number(thing, table(like, rng))
    kind = of_number(thing, table(like, rng))
    stripes, tiles = torch.sin(6.28 * scale * u), torch.sin(3.14 * scale * u) * torch.sin(3.14 * scale * v)
    pattern = torch.where(kind < 0.33, stripes, torch.where(kind < 0.66, tiles, torch.zeros_like(tiles)))
    return 0.5 + 0.5 * (4 * pattern).tanh()


def visible(room: Room, rng: torch.Generator) -> Tensor:
    """Paint and pattern under a lamp somewhere in the room."""
    like = room.depth
    paint = of_number(room.thing, table(like, rng)) * 0.8 + 0.1
    paint = paint + of_number(room.thing, table(like, rng)) * 0.5 * (room.print - 0.5) + 0.03 * white(like, rng)
    lamp = torch.cat([uniform(like, rng, -1.5, 1.5), uniform(like, rng, -1.2, 0.0), uniform(like, rng, -2.0, 2.0)], 1)
    towards = torch.nn.functional.normalize(lamp - room.point, dim=1)
    light = uniform(like, rng, 0.2, 0.7) + 0.6 * (room.normal * towards).sum(1, keepdim=True).clamp_min(0.0)
    return (paint * light).clamp(0.0, 1.0)


def distance(room: Room, rng: torch.Generator) -> Tensor:
    """Depth or its inverse as grey levels, smooth, either way round."""
    like = room.depth
    inverse = chance(like, rng, 0.5)
    value = inverse / room.depth.clamp_min(0.2) + (1 - inverse) * room.depth.clamp_max(12.0) / 12
    low, high = value.amin((2, 3), keepdim=True), value.amax((2, 3), keepdim=True)
    grey = blurred((value - low) / (high - low).clamp_min(1e-3), uniform(like, rng, 0.3, 1.5), 4)
    flip = chance(like, rng, 0.5)
    return grey * (1 - 2 * flip) + flip


def thermal(room: Room, rng: torch.Generator) -> Tensor:
    """Some things warm, some cold; paint and pattern are not seen."""
    like = room.depth
    warm = of_number(room.thing, table(like, rng)) ** 2 + uniform(like, rng, 0.0, 0.2) * blobs(like, rng, 3)
    edges = 0.1 * room.normal[:, :1] + 0.1 * room.normal[:, 1:2]
    seen = 0.5 + uniform(like, rng, 0.3, 1.0) * (blurred(warm + edges, uniform(like, rng, 0.6, 2.0), 6) - 0.4)
    return seen + uniform(like, rng, 0.0, 0.03) * white(like, rng)


def night(room: Room, rng: torch.Generator) -> Tensor:
    like = room.depth
    lit = uniform(like, rng, 0.03, 0.3) + 0.8 * spots(like, rng, 3, 0.05, 0.25)
    return visible(room, rng) * lit + uniform(like, rng, 0.01, 0.05) * white(like, rng)


def facing(room: Room, rng: torch.Generator) -> Tensor:
    """One component of the normals, in a direction of its own."""
    weights = torch.randn((len(room.depth), 3, 1, 1), generator=rng, device=room.depth.device)
    return 0.5 + 0.5 * (room.normal * torch.nn.functional.normalize(weights, dim=1)).sum(1, keepdim=True)


SENSORS = {"visible": visible, "depth": distance, "infrared": thermal, "night": night, "normal": facing}
"""Name -> (room, rng) -> (B, 1, H, W), about [0, 1]."""
