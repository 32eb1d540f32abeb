"""Drawn shapes: scenes that need no file and next to no time."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.modalities.draws import blobs, uniform
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.crops import to_tensor
from xmatch.synth.sources.sensors import Sensors


class Shapes:
    """Polygons, ellipses and lines of random grey over a shaded, textured ground.

    Args:
        sensors: which sensors see them.
    """

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        base = to_tensor([_drawn(size, host) for _ in range(count)], rng.device)
        for cells, strength in ((4, 0.15), (24, 0.08)):
            base = base + uniform(base, rng, 0.0, strength) * blobs(base, rng, cells)
        first, second, names = self._sensors.see(base.clamp_(0.0, 1.0), rng, host, difficulty.gap)
        valid = everywhere(base)
        return Aligned(first, second, valid, valid, names, ("shapes",) * count)


def _drawn(size: int, host: np.random.Generator) -> np.ndarray:
    image = np.full((size, size), int(host.integers(256)), np.uint8)
    for _ in range(host.integers(15, 60)):
        grey, centre = int(host.integers(256)), host.uniform(0, size, 2)
        reach = size * np.exp(host.uniform(np.log(0.02), np.log(0.25)))
        kind = host.random()
        if kind < 0.45:
            angles = np.sort(host.uniform(0, 2 * np.pi, host.integers(3, 8)))
            radii = reach * host.uniform(0.4, 1.0, len(angles))
            points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
            cv2.fillPoly(image, [points.round().astype(np.int32)], grey, cv2.LINE_AA)
        elif kind < 0.8:
            axes = (max(1, int(reach)), max(1, int(reach * host.uniform(0.3, 1.0))))
            place = (int(centre[0]), int(centre[1]))
            cv2.ellipse(image, place, axes, float(host.uniform(0, 360)), 0, 360, grey, -1, cv2.LINE_AA)
        else:
            points = centre + np.cumsum(host.normal(0, reach / 2, (host.integers(2, 6), 2)), axis=0)
            wide = int(host.integers(1, max(2, size // 60) + 1))
            cv2.polylines(image, [points.round().astype(np.int32)], False, grey, wide, cv2.LINE_AA)
    return image
