"""Drawn shapes: scenes that need no file and next to no time."""

from __future__ import annotations

import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.sensors import Sensors
from xmatch.synth.worlds.drawn import make_drawing


class Shapes:
    """Polygons, ellipses and lines of random grey over a shaded, textured ground.

    Args:
        sensors: which sensors see them.
    """

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        base = make_drawing(count, size, rng, host)
        first, second, names = self._sensors.see(base, rng, host, difficulty.gap)
        valid = everywhere(base)
        return Aligned(first, second, valid, valid, names, ("shapes",) * count)
