"""Drawn shapes, seen by the generators of modalities: a world that costs next to nothing and shows every sensor."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from xmatch.synth.modalities import MODALITIES, load_modality
from xmatch.synth.modalities.draws import blobs, uniform
from xmatch.synth.modalities.filters import gray


def make_drawing(count: int, size: int, rng: torch.Generator, host: np.random.Generator) -> Tensor:
    """(B, 1, size, size) in [0, 1]: polygons, ellipses and lines of random grey over a shaded, textured ground."""
    drawings = np.stack([drawing(size, host) for _ in range(count)])
    base = torch.from_numpy(drawings).to(rng.device)[:, None].float() / 255
    for cells, strength in ((4, 0.15), (24, 0.08)):
        base = base + uniform(base, rng, 0.0, strength) * blobs(base, rng, cells)
    return base.clamp_(0.0, 1.0)


def _seen_by(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    return lambda image, rng: gray(load_modality(name)(image, rng))


SENSORS = {name: _seen_by(name) for name in MODALITIES}


def drawing(size: int, host: np.random.Generator) -> np.ndarray:
    """(size, size) uint8."""
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
