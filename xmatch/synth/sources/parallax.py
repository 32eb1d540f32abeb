"""Oblique views of a ground with heights: what stands up leans over, and hides what lies behind it.

Orthographic cameras: a point at height h over the ground appears at its ground position plus h times the camera's
*lean*, as buildings do in satellite images. Everything is in px of the ground's grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.resampling import bilinear
from xmatch.synth.warps import centres

STEPS = 16
"""Heights tried from the top down; between the last two a bisection goes on."""
BISECTIONS = 5
"""Down to a 32nd of the step between two heights."""
SAME_PX = 1.0
"""Two cameras see one point if their rays meet the ground within this distance, and as high."""


@dataclass(frozen=True, eq=False)
class Oblique:
    """What one camera sees of B grounds of S x S px."""

    ground: Tensor
    """(B, 2, S, S) ground position of the point behind every px, normalised."""
    height: Tensor
    """(B, 1, S, S) its height, px."""
    lean: Tensor
    """(B, 2) px of displacement per px of height."""

    def image(self, of_ground: Tensor) -> Tensor:
        """(B, C, S, S) on the ground's grid as this camera shows it."""
        return bilinear(of_ground, self.ground)


def look(height: Tensor, lean: Tensor) -> Oblique:
    """The first point that the ray of each px meets.

    Args:
        height: (B, 1, S, S) px, not negative.
        lean: (B, 2) px per px of height.
    """
    size = height.shape[-1]
    own = centres(size, height.device)
    top = height.amax((1, 2, 3), keepdim=True)
    step = (2.0 / size) * lean[:, :, None, None]
    if not bool((top * lean.abs().amax()).amax() > 1e-3):
        return Oblique(own.expand(len(height), -1, -1, -1), height, lean)
    hit = torch.zeros_like(height, dtype=torch.bool)
    below, above = torch.zeros_like(height), torch.zeros_like(height)
    for number in range(STEPS, -1, -1):
        level = top * (number / STEPS)
        new = ~hit & (bilinear(height, own - level * step) >= level)
        below = torch.where(new, level.expand_as(below), below)
        above = torch.where(new, (top * (min(number + 1, STEPS) / STEPS)).expand_as(above), above)
        hit |= new
    for _ in range(BISECTIONS):
        middle = (below + above) / 2
        under = bilinear(height, own - middle * step) >= middle
        below, above = torch.where(under, middle, below), torch.where(under, above, middle)
    return Oblique(own - below * step, below, lean)


def flow_between(first: Oblique, second: Oblique) -> tuple[Tensor, Tensor]:
    """Where what the first camera sees appears to the second.

    Returns:
        (B, S, S, 2) normalised places in the second image, and (B, S, S) bool: the second camera sees it too.
    """
    size = first.height.shape[-1]
    per_px = 2.0 / size
    there = first.ground + first.height * per_px * second.lean[:, :, None, None]
    met = bilinear(torch.cat([second.ground, second.height * per_px], 1), there)
    apart = (met - torch.cat([first.ground, first.height * per_px], 1)).abs() / per_px
    seen = (apart <= SAME_PX).all(1) & (there.abs() <= 1).all(1) & (first.ground.abs() <= 1).all(1)
    flow = there.permute(0, 2, 3, 1).contiguous()
    return flow, seen & _calm(there / per_px)


def _calm(places: Tensor) -> Tensor:
    """(B, S, S) bool: the flow (B, 2, S, S) px does not jump between a px and its neighbours."""
    keep = torch.ones_like(places[:, 0], dtype=torch.bool)
    for axis in (2, 3):
        step = places.diff(dim=axis)
        step[:, 3 - axis] -= 1.0
        calm = (step.abs() <= 2 * SAME_PX).all(1)
        first, last = [slice(None)] * 3, [slice(None)] * 3
        first[axis - 1], last[axis - 1] = slice(None, -1), slice(1, None)
        keep[tuple(first)] &= calm
        keep[tuple(last)] &= calm
    return keep
