"""Procedural worlds: scenes described once, then seen by every sensor, so that sensors differ as real ones do.

What a sensor shows is looked up and computed from the same layers with its own random tables: two sensors share where
things are, not what they look like. `WORLDS` is the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmatch.errors import UsageError
from xmatch.synth.seeds import host_rng
from xmatch.synth.worlds import cells, drawn, indoor, land, tissue

Render = Callable[[Any, torch.Generator], Tensor]


@dataclass(frozen=True, eq=False)
class Scene:
    """B scenes of one kind."""

    kind: str
    layers: Any
    """What the kind's sensors read."""
    renders: dict[str, Render]
    """Sensor -> (layers, rng) -> (B, 1, H, W) in [0, 1]."""
    height: Tensor | None = None
    """(B, 1, H, W) px above the ground plane, for views from aside; None where a scene is flat or has depth already."""

    @property
    def sensors(self) -> tuple[str, ...]:
        return tuple(self.renders)

    def render(self, sensor: str, rng: torch.Generator) -> Tensor:
        """(B, 1, H, W) float32 in [0, 1]: all sensors of a scene are aligned on the ground.

        Raises:
            UsageError: a sensor that this kind of world does not have.
        """
        if sensor not in self.renders:
            raise UsageError(f"{self.kind} has no sensor {sensor!r}", hint=f"known: {', '.join(self.renders)}")
        return self.renders[sensor](self.layers, rng).clamp(0.0, 1.0)


def _land(count: int, size: int, rng: torch.Generator) -> Scene:
    ground = land.country(count, size, rng)
    return Scene("land", ground, land.SENSORS, ground.height)


def _city(count: int, size: int, rng: torch.Generator) -> Scene:
    ground = land.town(count, size, rng)
    return Scene("city", ground, land.SENSORS, ground.height)


def _region(count: int, size: int, rng: torch.Generator) -> Scene:
    return Scene("region", land.region(count, size, rng), land.FROM_SPACE)


def _tissue(count: int, size: int, rng: torch.Generator) -> Scene:
    return Scene("tissue", tissue.make_body(count, size, rng), tissue.SENSORS)


def _cells(count: int, size: int, rng: torch.Generator) -> Scene:
    return Scene("cells", cells.make_section(count, size, rng), cells.SENSORS)


def _indoor(count: int, size: int, rng: torch.Generator) -> Scene:
    return Scene("indoor", indoor.make_room(count, size, rng), indoor.SENSORS)


def _drawn(count: int, size: int, rng: torch.Generator) -> Scene:
    return Scene("drawn", drawn.make_drawing(count, size, rng, host_rng(rng)), drawn.SENSORS)


WORLDS: dict[str, Callable[[int, int, torch.Generator], Scene]] = {
    "land": _land,
    "city": _city,
    "region": _region,
    "tissue": _tissue,
    "cells": _cells,
    "indoor": _indoor,
    "drawn": _drawn,
}
"""kind -> builder(count, size, rng)."""


def make_world(kind: str, count: int, size: int, rng: torch.Generator) -> Scene:
    """`count` scenes of `size` x `size` px on the generator's device.

    Raises:
        UsageError: no such world.
    """
    if kind not in WORLDS:
        raise UsageError(f"there is no world {kind!r}", hint=f"known: {', '.join(WORLDS)}")
    with torch.no_grad():
        return WORLDS[kind](count, size, rng)
