"""Procedural worlds: scenes described once, then seen by every sensor, so that sensors differ as real ones do.

What a sensor shows is looked up and computed from the same layers with its own random tables: two sensors share where
things are, not what they look like. `WORLDS` is the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from xmatch.errors import UsageError
from xmatch.synth.seeds import host_rng
from xmatch.synth.worlds import cells, drawn, indoor, land, tissue

Layers = TypeVar("Layers")


@dataclass(frozen=True, eq=False)
class WorldScene(Generic[Layers]):
    """B scenes of one kind."""

    kind: str
    layers: Layers
    """What the kind's sensors read."""
    renders: Mapping[str, Callable[[Layers, torch.Generator], Tensor]]
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


def _land(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    ground = land.country(count, size, rng)
    return WorldScene("land", ground, land.SENSORS, ground.height)


def _city(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    ground = land.town(count, size, rng)
    return WorldScene("city", ground, land.SENSORS, ground.height)


def _region(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    return WorldScene("region", land.region(count, size, rng), land.FROM_SPACE)


def _tissue(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    return WorldScene("tissue", tissue.make_body(count, size, rng), tissue.SENSORS)


def _cells(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    return WorldScene("cells", cells.make_section(count, size, rng), cells.SENSORS)


def _indoor(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    return WorldScene("indoor", indoor.make_room(count, size, rng), indoor.SENSORS)


def _drawn(count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    return WorldScene("drawn", drawn.make_drawing(count, size, rng, host_rng(rng)), drawn.SENSORS)


WORLDS: dict[str, Callable[[int, int, torch.Generator], WorldScene[Any]]] = {
    "land": _land,
    "city": _city,
    "region": _region,
    "tissue": _tissue,
    "cells": _cells,
    "indoor": _indoor,
    "drawn": _drawn,
}
"""kind -> builder(count, size, rng)."""


def make_world(kind: str, count: int, size: int, rng: torch.Generator) -> WorldScene[Any]:
    """`count` scenes of `size` x `size` px on the generator's device.

    Raises:
        UsageError: no such world.
    """
    if kind not in WORLDS:
        raise UsageError(f"there is no world {kind!r}", hint=f"known: {', '.join(WORLDS)}")
    with torch.no_grad():
        return WORLDS[kind](count, size, rng)
