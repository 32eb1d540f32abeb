"""Views of a ground with heights from aside: what stands up leans over, and hides what lies behind it.

A camera is known by the ray of each px: where the ray meets the plane of height 0, and how far it has come back from
there for every px of height (its *lean*). Ground positions are normalised, heights are px of the ground's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from xmatch.synth.resampling import bilinear
from xmatch.synth.warps import centres

STEPS = 16
"""Heights tried from the top down; between the last two a bisection goes on."""
BISECTIONS = 5
"""Down to a 32nd of the step between two heights."""
SAME_PX = 1.0
"""Two cameras see one point if their rays meet the ground within this distance, and as high; px of the ground."""


class Camera(Protocol):
    """B cameras, each over a ground of its own. Heights are normalised as ground positions are: 2 a side."""

    def rays(self, size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Of images of `size` px: (B, 2, S, S) where the ray of every px meets the plane of height 0, and the
        (B, 2, S, S) or (B, 2, 1, 1) lean of the ray: at height h it is `lean * h` short of there."""

    def places(self, ground: Tensor, height: Tensor) -> Tensor:
        """(B, 2, h, w) normalised places in the images of points over (B, 2, h, w) ground, (B, 1, h, w) high."""


@dataclass(frozen=True, eq=False)
class Oblique:
    """Orthographic cameras, as satellites nearly are: a point appears at its ground position plus h times the lean."""

    lean: Tensor
    """(B, 2) px of displacement per px of height."""

    def rays(self, size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        lean = self.lean[:, :, None, None].to(device)
        return centres(size, device).expand(len(lean), -1, -1, -1), lean

    def places(self, ground: Tensor, height: Tensor) -> Tensor:
        return ground + height * self.lean[:, :, None, None]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one camera sees of B grounds of P x P px, in images of S x S px."""

    ground: Tensor
    """(B, 2, S, S) ground position of the point behind every px, normalised."""
    height: Tensor
    """(B, 1, S, S) its height, px of the ground."""
    camera: Camera
    per_px: float
    """Normalised length of a px of the ground."""

    @property
    def on_ground(self) -> Tensor:
        """(B, 1, S, S) bool: the px shows the ground, not what lies beyond its border."""
        return (self.ground.abs() <= 1).all(1, keepdim=True)

    def image(self, of_ground: Tensor) -> Tensor:
        """(B, C, S, S) on the ground's grid as this camera shows it."""
        return bilinear(of_ground, self.ground)


def look(height: Tensor, camera: Camera, size: int | None = None, steps: int = STEPS) -> Seen:
    """The first point that the ray of each px meets.

    Args:
        height: (B, 1, P, P) px, not negative.
        size: of the images, px; as the ground by default.
        steps: of the search from the top; things thinner than a step may be cut through.
    """
    per_px = 2.0 / height.shape[-1]
    own, lean = camera.rays(size or height.shape[-1], height.device)
    top = height.amax((1, 2, 3), keepdim=True)
    step = per_px * lean
    if height.device.type == "cpu" and not bool((top * lean.abs().amax()).amax() > 1e-3):  # a GPU would be waited for
        return Seen(own, bilinear(height, own), camera, per_px)
    hit = torch.zeros_like(own[:, :1], dtype=torch.bool)
    below, above = torch.zeros_like(own[:, :1]), torch.zeros_like(own[:, :1])
    for number in range(steps, -1, -1):
        level = top * (number / steps)
        new = ~hit & (bilinear(height, own - level * step) >= level)
        below = torch.where(new, level, below)
        above = torch.where(new, top * (min(number + 1, steps) / steps), above)
        hit |= new
    for _ in range(BISECTIONS):
        middle = (below + above) / 2
        under = bilinear(height, own - middle * step) >= middle
        below, above = torch.where(under, middle, below), torch.where(under, above, middle)
    return Seen(own - below * step, below, camera, per_px)


def flow_between(first: Seen, second: Seen) -> tuple[Tensor, Tensor]:
    """Where what the first camera sees appears to the second.

    Returns:
        (B, S, S, 2) normalised places in the second image, and (B, S, S) bool: the second camera sees it too.
    """
    per_px = first.per_px
    there = second.camera.places(first.ground, first.height * per_px)
    met = bilinear(torch.cat([second.ground, second.height * per_px], 1), there)
    apart = (met - torch.cat([first.ground, first.height * per_px], 1)).abs() / per_px
    seen = (apart <= SAME_PX).all(1) & (there.abs() <= 1).all(1) & first.on_ground[:, 0]
    flow = there.permute(0, 2, 3, 1).contiguous()
    return flow, seen & calm(there * (there.shape[-1] / 2))


def calm(places: Tensor) -> Tensor:
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
