"""What sensors see of a room: light with shadows, distance, warmth, the dark, and which way surfaces face."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.curves import random_contrast
from xmatch.synth.modalities.draws import blobs, chance, patches, spots, uniform, white
from xmatch.synth.modalities.filters import blurred, grown, shrunk
from xmatch.synth.worlds.furniture import meets
from xmatch.synth.worlds.places import of_number, table
from xmatch.synth.worlds.rooms import Room, make_room

__all__ = ["SENSORS", "make_room"]


def visible(room: Room, rng: torch.Generator) -> Tensor:
    """Paint, pictures and patterns under a lamp somewhere in the room, and its shadows."""
    like = room.depth
    light = _paint(room, rng) * _lamp(room, rng)
    seen = blurred(light, uniform(like, rng, 0.3, 0.9), 3) * uniform(like, rng, 0.7, 1.5)
    return seen.clamp_max(1.0) + uniform(like, rng, 0.0, 0.03) * white(like, rng)


def distance(room: Room, rng: torch.Generator) -> Tensor:
    """Depth or its inverse as grey levels, either way round; blurred, uneven and with gaps, as range sensors are."""
    like = room.depth
    inverse = chance(like, rng, 0.4)
    value = inverse / room.depth.clamp_min(0.2) + (1 - inverse) * room.depth.clamp_max(12.0) / 12
    low, high = value.amin((2, 3), keepdim=True), value.amax((2, 3), keepdim=True)
    grey = blurred((value - low) / (high - low).clamp_min(1e-3), uniform(like, rng, 0.3, 2.5), 6)
    grey = grey + uniform(like, rng, 0.0, 0.02) * blobs(like, rng, 24)
    flip = chance(like, rng, 0.4)
    grey = grey * (1 - 2 * flip) + flip
    gaps = chance(like, rng, 0.3) * (patches(like, rng, 0.01, 0.05) > 0.5)
    return grey * (1 - gaps)


def thermal(room: Room, rng: torch.Generator) -> Tensor:
    """Some things warm, some cold; of paint nothing is seen, of pictures and doors little."""
    like = room.depth
    warm = of_number(room.thing, table(like, rng)) ** 2 + 0.25 * of_number(room.face, table(like, rng))
    other = of_number(room.panel, table(like, rng)) - 0.5
    warm = warm + uniform(like, rng, 0.0, 0.4) * chance(like, rng, 0.6) * room.on_panel * other
    warm = warm + uniform(like, rng, 0.0, 0.2) * blobs(like, rng, 3)
    soft = blurred(warm, uniform(like, rng, 0.6, 2.0), 6)
    seen = 0.5 + uniform(like, rng, 0.3, 1.0) * (soft - soft.mean((2, 3), keepdim=True))
    flip = chance(like, rng, 0.3)
    return seen * (1 - 2 * flip) + flip + uniform(like, rng, 0.0, 0.03) * white(like, rng)


def night(room: Room, rng: torch.Generator) -> Tensor:
    """Little light, a few bright spots, much noise."""
    like = room.depth
    lit = uniform(like, rng, 0.08, 0.4) + 0.8 * spots(like, rng, 3, 0.05, 0.25)
    return _paint(room, rng) * _lamp(room, rng) * lit + uniform(like, rng, 0.005, 0.04) * white(like, rng)


def facing(room: Room, rng: torch.Generator) -> Tensor:
    """One component of the normals, in a direction of its own."""
    weights = torch.randn((len(room.depth), 3, 1, 1), generator=rng, device=room.depth.device)
    along = (room.normal * F.normalize(weights, dim=1)).sum(1, keepdim=True)
    return random_contrast(blurred(0.5 + 0.5 * along, uniform(along, rng, 0.2, 1.2), 4), rng, 0.6)


def _paint(room: Room, rng: torch.Generator) -> Tensor:
    """What surfaces throw back, 0.05 to 1: partly the room's own paint, partly what this sensor sees in it."""
    like = room.depth
    mine = torch.where(
        room.on_panel > 0, of_number(room.panel, table(like, rng)), of_number(room.face, table(like, rng))
    )
    share = uniform(like, rng, 0.0, 1.0)
    paint = share * room.paint + (1 - share) * mine
    strength = of_number(room.face, table(like, rng)) ** 2 * (1 - 0.7 * room.on_panel)
    paint = paint + 0.4 * strength * room.print + uniform(like, rng, 0.0, 0.09) * room.weave
    return 0.05 + 0.95 * paint.clamp(0.0, 1.0)


def _lamp(room: Room, rng: torch.Generator) -> Tensor:
    """Light from a lamp under the ceiling and from everywhere; shadows, as they are soft, at a third of the size."""
    like = room.depth
    lamp = [uniform(like, rng, -1.4, 1.4), uniform(like, rng, -1.1, -0.2), uniform(like, rng, -2.5, 2.0)]
    away = torch.cat(lamp, 1) - room.point
    reach = away.norm(dim=1, keepdim=True).clamp_min(0.1)
    straight = (room.normal * away).sum(1, keepdim=True).clamp_min(0.0) / reach
    near = shrunk(room.point, 3)
    shade = shadows(room, near, torch.cat(lamp, 1) - near)
    open_ = 1 - grown(blurred(shade, uniform(like, rng, 0.3, 1.2), 4), like)
    fading = 1 / (1 + uniform(like, rng, 0.0, 0.15) * reach.square())
    return uniform(like, rng, 0.15, 0.6) + uniform(like, rng, 0.5, 1.0) * straight * open_ * fading


def shadows(room: Room, point: Tensor, away: Tensor) -> Tensor:
    """(B, 1, h, w), 1 where something stands between points (B, 3, h, w) and the lamp that lies `away` from them."""
    dark = torch.zeros_like(point[:, :1], dtype=torch.bool)
    start, ray = point.split(1, 1), away.split(1, 1)
    for number in range(room.things.turn.shape[1]):
        enter, leave = meets(room.things, number, start, ray)
        dark |= (enter < leave) & (leave > 0.03) & (enter < 1.0)
    return dark.float()


SENSORS = {
    "visible": visible,
    "visible-other": visible,
    "depth": distance,
    "infrared": thermal,
    "night": night,
    "normal": facing,
}
"""Name -> (room, rng) -> (B, 1, H, W), about [0, 1]."""
