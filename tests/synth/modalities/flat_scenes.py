"""Made-up scenes with plain outlines: flat shapes of several colours on a ground, a little texture."""

from __future__ import annotations

import torch
from torch import Tensor


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shapes(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    """(count, channels, height, width) in [0, 1]: twelve boxes and discs a scene, none like another."""
    rng = seeded(seed)
    y = torch.arange(height)[:, None] + 0.5
    x = torch.arange(width) + 0.5
    scenes = []
    for _ in range(count):
        scene = torch.rand((channels, 1, 1), generator=rng).expand(channels, height, width)
        for number in range(12):
            top, left, tall, wide = torch.rand(4, generator=rng) * torch.tensor([height, width, height / 4, width / 4])
            box = ((y - top).abs() < tall + 3) & ((x - left).abs() < wide + 3)
            disc = (y - top) ** 2 + (x - left) ** 2 < (tall + 4) ** 2
            colour = torch.rand((channels, 1, 1), generator=rng)
            scene = torch.where(disc if number % 2 else box, colour, scene)
        scenes.append(scene + 0.02 * torch.randn((channels, height, width), generator=rng))
    return torch.stack(scenes).clamp(0.0, 1.0)
