"""Light that comes from a side: slopes that face it, and what stands in its way."""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.filters import slopes
from xmatch.synth.worlds.patterns import pixel_centres

REACH_PX = 32
"""Longest shadow."""


def lit_slopes(height: Tensor, cos: Tensor, sin: Tensor, steep: Tensor) -> Tensor:
    """(B, 1, H, W) brightness of a matt surface over that of level ground (Lambert's law).

    Args:
        height: (B, 1, H, W) px.
        cos, sin: (B, 1, 1, 1) direction towards the light.
        steep: (B, 1, 1, 1) tangent of the light's elevation.
    """
    along_x, along_y = slopes(height)
    # Walls are no slopes: seen from above they have no area.
    along_x, along_y = along_x.clamp(-1.2, 1.2), along_y.clamp(-1.2, 1.2)
    towards = (cos * along_x + sin * along_y) / steep
    return ((1 - towards) / (1 + along_x**2 + along_y**2).sqrt()).clamp(0.0, 2.5)


def moved_max(height: Tensor, cos: Tensor, sin: Tensor, steep: Tensor, reach: int = REACH_PX) -> Tensor:
    """(B, 1, H, W) how high the light's lower limit stands over each px: what is lower lies in the shadow.

    The largest of height(p + k d) - k steep over k = 1 .. reach, by doubling: log2(reach) look-ups, not `reach`.
    """
    limit = _at(height, cos, sin) - steep
    step = 1
    while step < reach:
        limit = torch.maximum(limit, _at(limit, step * cos, step * sin) - step * steep)
        step *= 2
    return limit


def shadow(height: Tensor, cos: Tensor, sin: Tensor, steep: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1]: 1 where something towards the light hides it. Arguments as in `lit_slopes`."""
    return (moved_max(height, cos, sin, steep) - height).clamp(0.0, 1.0)


def _at(image: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """The image's values at places moved by whole px, (B, 1, 1, 1) each; edges are repeated outwards."""
    height, width = image.shape[-2:]
    x, y = pixel_centres(image)
    column = (x + right.round()).clamp(0.5, width - 0.5).floor()
    row = (y + down.round()).clamp(0.5, height - 0.5).floor()
    picked = (column + row * width).to(torch.int64).flatten(1)
    return image.flatten(1).gather(1, picked).reshape(image.shape)
