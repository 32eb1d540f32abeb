"""Things that moved between the two images: a part of moving lies elsewhere, as a ship or a chair does the next day.

Where it was, moving shows what lies beside it; what it covers now is seen by fixed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.seeds import uploaded

HALF_AXES = (0.06, 0.16)
"""Of the ellipse that moves, share of the side."""
WAY = (0.08, 0.3)
"""How far it moves, share of the side."""
RIM_PX = 1.5
"""This near to its outline nothing is vouched for: there px of both are mixed."""


@dataclass(frozen=True, eq=False)
class Things:
    """One ellipse of each of B moving images; positions are px, corner-counted."""

    centre: Tensor
    """(B, 2)."""
    to_unit: Tensor
    """(B, 2, 2) turns the ellipse's axes into x and y."""
    half_axes: Tensor
    """(B, 2); negative: nothing moves."""
    shift: Tensor
    """(B, 2) whole px."""

    def inside(self, xy: Tensor, wider_px: float = 0.0) -> Tensor:
        """(B, h, w) bool of positions (B or 1, h, w, 2)."""
        axes = self.half_axes[:, None, None] + wider_px
        own = (xy - self.centre[:, None, None]) @ self.to_unit[:, None].mT
        return ((own / axes).square().sum(-1) < 1) & (axes > 0).all(-1)

    def on_rim(self, xy: Tensor) -> Tensor:
        return self.inside(xy, RIM_PX) & ~self.inside(xy, -RIM_PX)


@dataclass(frozen=True, eq=False)
class Moved:
    """What has changed of B pairs; as the fields of `TrainingPairs`."""

    moving: Tensor
    moving_valid: Tensor
    warp: Tensor
    covisible: Tensor


def moved(before: Moved, chosen: np.ndarray, host: np.random.Generator) -> Moved:
    """Pairs in which something has moved.

    Args:
        before: S x S px each.
        chosen: (B,) bool; the others stay as they are.
    """
    size, device = before.moving.shape[-1], before.moving.device
    things = _drawn(chosen, size, host, device)
    shift = things.shift[:, None, None]
    line = torch.arange(size, device=device) + 0.5
    px = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None]
    came_from = px - shift
    lands = things.inside(came_from) & ((came_from > 0) & (came_from < size)).all(-1)
    aside = torch.stack([-shift[..., 1], shift[..., 0]], -1)
    source = torch.where(lands[..., None], came_from, torch.where(things.inside(px)[..., None], px + aside, px))
    at = source.floor().clamp(0, size - 1).long()
    index = (at[..., 1] * size + at[..., 0]).flatten(1)[:, None]
    moving, valid = (
        images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).view_as(images)
        for images in (before.moving, before.moving_valid)
    )
    was = (before.warp + 1) * (size / 2)
    carried = things.inside(was)
    now = torch.where(carried[..., None], was + shift, was)
    shown = ((now > 0.5) & (now < size - 0.5)).all(-1) & (carried | ~things.inside(was - shift))
    sure = ~things.on_rim(was) & ~things.on_rim(was - shift)
    moves = uploaded(chosen, device, torch.bool)[:, None, None]
    warp = torch.where(carried[..., None], before.warp + shift * (2 / size), before.warp)
    return Moved(moving, valid, warp, before.covisible & (~moves | (shown & sure)))


def _drawn(chosen: np.ndarray, size: int, host: np.random.Generator, device: torch.device) -> Things:
    count = len(chosen)
    half_axes = host.uniform(*HALF_AXES, (count, 2)) * size
    turn, direction = host.uniform(0, 2 * np.pi, (2, count))
    way = host.uniform(*WAY, count) * size
    shift = np.stack([way * np.cos(direction), way * np.sin(direction)], -1).round() * chosen[:, None]
    to_unit = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], -1).reshape(count, 2, 2)
    numbers = (host.uniform(0.2, 0.8, (count, 2)) * size, to_unit, np.where(chosen[:, None], half_axes, -size), shift)
    return Things(*(uploaded(values, device) for values in numbers))
