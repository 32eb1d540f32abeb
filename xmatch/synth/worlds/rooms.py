"""Rooms with furniture, seen in perspective by casting one ray through every pixel.

Several views of a room lie one below the other in one tall image: all that is told by number (which face, which
picture) is then the same in all of them, and so is what every sensor makes of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.modalities.draws import clutter, uniform
from xmatch.synth.pinhole import Pinhole
from xmatch.synth.resampling import bilinear
from xmatch.synth.worlds.furniture import BOXES, Planes, Things, furnished, leaves, meets
from xmatch.synth.worlds.places import hashed, of_number, table

NEAREST = 0.3
"""Metres; what is closer to the camera is not seen."""
AIM_M = 3.0
"""Distance of the point in the middle of the first view that the others look at."""
WITHIN_M = 1.2
"""Cameras stand so far at most from the middle between the side walls."""
WEAVE_PER_M = 160
"""Texels of the weave in a metre: about a px at 3 m, in images of 480 px."""


@dataclass(frozen=True, eq=False)
class Room:
    """What cameras see of B rooms, (B, 1, H, W) each unless said otherwise; V views of S px: H = V S, W = S."""

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
    stand: Stand


@dataclass(frozen=True, eq=False)
class Stand:
    """Where the V cameras of each of B rooms stand and look, (B, V, 1, 1) each; x right, y down, z ahead, metres."""

    x: Tensor
    y: Tensor
    z: Tensor
    pan: Tensor
    """Radians to the right."""
    tilt: Tensor
    """Radians upwards."""
    wide: Tensor
    """(B, 1, 1, 1) tangent of half the field of view."""

    def cameras(self) -> list[Pinhole]:
        """V times B of them; of the world that the stand is in."""
        return [self._camera(view) for view in range(self.x.shape[1])]

    def _camera(self, view: int) -> Pinhole:
        x, y, z, pan, tilt, wide = (
            getattr(self, name)[:, min(view, getattr(self, name).shape[1] - 1), 0, 0].double().cpu().numpy()
            for name in ("x", "y", "z", "pan", "tilt", "wide")
        )
        zero, cos, sin, up, ahead = np.zeros_like(pan), np.cos(pan), np.sin(pan), np.sin(tilt), np.cos(tilt)
        # Rows are the camera's axes in the room: right, down and forward.
        rotation = np.stack([cos, zero, -sin, sin * up, ahead, cos * up, sin * ahead, -up, cos * ahead], 1)
        intrinsics = np.stack([1 / wide, zero, zero, zero, 1 / wide, zero, zero, zero, zero + 1], 1)
        return Pinhole(intrinsics.reshape(-1, 3, 3), rotation.reshape(-1, 3, 3), np.stack([x, y, z], 1))


def make_room(count: int, size: int, rng: torch.Generator, views: int = 1, max_parallax_deg: float = 0.0) -> Room:
    """The camera stands near one end of a room of 3 to 8 m and looks along it, turned and tilted a little.

    Args:
        views: of each room; the others look from elsewhere at what is in the middle of the first.
        max_parallax_deg: how far their directions are from the first one's, at most.
    """
    like = torch.zeros((count, 1, views * size, size), device=rng.device)
    stand = _stand(like, rng, views, max_parallax_deg)
    start, rays, step = _rays(size, stand)
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
    weave = _woven(like, rng, face, u, v) * of_number(face, table(like, rng)) ** 2
    prints = _prints(like, rng, face, u, v, depth * step / slant)
    return Room(depth, normal, point, thing, face, panel, on_panel, prints, weave, paint, things, stand)


def _stand(like: Tensor, rng: torch.Generator, views: int, max_parallax_deg: float) -> Stand:
    wide = torch.tan(uniform(like, rng, 0.35, 0.6))
    pan, tilt = uniform(like, rng, -0.45, 0.45), uniform(like, rng, -0.4, 0.15)
    x, y, z = (uniform(like, rng, low, high) for low, high in ((-1.0, 1.0), (-0.7, 0.2), (-2.8, -1.8)))
    if views == 1:
        return Stand(x, y, z, pan, tilt, wide)
    # All look at one point, from around it.
    most = AIM_M * math.tan(math.radians(max_parallax_deg))
    aim = x + AIM_M * tilt.cos() * pan.sin(), y - AIM_M * tilt.sin(), z + AIM_M * tilt.cos() * pan.cos()
    off = [most * torch.cat([0 * x] + [uniform(like, rng, -1.0, 1.0) for _ in range(views - 1)], 1) for _ in range(3)]
    x, y, z = (x + 0.95 * off[0]).clamp(-WITHIN_M, WITHIN_M), (y + 0.3 * off[1]).clamp(-0.9, 0.6), z + 0.3 * off[2]
    right, down, ahead = aim[0] - x, aim[1] - y, aim[2] - z
    pan, tilt = torch.atan2(right, ahead), torch.atan2(-down, torch.hypot(right, ahead))
    return Stand(x, y, z, pan, tilt, wide)


def _rays(size: int, stand: Stand) -> tuple[Planes, Planes, Tensor]:
    """Where cameras stand, rays whose step along the viewing direction is 1, and the step of a px at distance 1."""

    def rows(values: Tensor) -> Tensor:
        """(B, V, 1, 1) as (B, 1, V S, 1): each view's value on its rows."""
        return values.expand(-1, -1, size, -1).reshape(len(values), 1, -1, 1)

    x = stand.wide * (2 * (torch.arange(size, device=stand.wide.device) + 0.5) / size - 1)
    y = x.transpose(2, 3).expand(-1, stand.x.shape[1], -1, -1).reshape(len(x), 1, -1, 1)
    pan, tilt = rows(stand.pan), rows(stand.tilt)
    ahead = tilt.cos() - tilt.sin() * -y  # tilted first (down is negative), then turned
    down = tilt.cos() * y - tilt.sin()
    rays = (pan.cos() * x + pan.sin() * ahead, down.expand(-1, -1, -1, size), pan.cos() * ahead - pan.sin() * x)
    return (rows(stand.x), rows(stand.y), rows(stand.z)), rays, 2 * stand.wide / size


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


def _woven(like: Tensor, rng: torch.Generator, face: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Fine texture in a face's own plane, so that it is the same in all views of it."""
    height, width = like.shape[-2:]
    offset = 7.0 * of_number(face, table(like, rng))
    across, along = (WEAVE_PER_M * (place + offset) for place in (u, v))
    place = torch.cat([2 * torch.remainder(across / width, 1) - 1, 2 * torch.remainder(along / height, 1) - 1], 1)
    return bilinear(clutter(like, rng, 0.6, 2.0), place)
