"""Two looks at one base image, and the exact map between them.

    fixed px --bend--> fixed frame --fixed_to_base--> base <--moving_to_base-- moving px

Fixed alone is bent, so that the way from fixed to moving needs only the inverse of a matrix: truth is exact by
construction. All coordinates are normalised, `align_corners=False`: [-1, 1] spans an image. Matrices are drawn and
multiplied on the host in float64; pixels are made on the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import uploaded

BASE_PER_SIDE = 1.5
"""Side of the base over that of a pair: turned views stay filled, and shifted ones still overlap."""
OWN_TURN_DEG = 12.0
"""Fixed's own turn in the base; moving turns with it."""
OWN_ZOOM = (0.75, 1.05)
"""Base px per px, before the difference in scale is shared between the two sides."""
BENT_SHARE = 0.5
"""Of pairs: the others keep an exact homography, which shards store as a matrix; not tuned."""
BEND_KNOTS = (4, 7)
"""Knots along a side of the two octaves of the bending; the finer one is a third as strong."""
FAR = 1e3
"""Largest coordinate; places behind the horizon are given it."""


@dataclass(frozen=True, eq=False)
class Warps:
    """Geometry of B pairs."""

    fixed_to_base: np.ndarray
    """(B, 3, 3) homographies, float64."""
    moving_to_base: np.ndarray
    """(B, 3, 3)."""
    bend: tuple[np.ndarray, ...]
    """Displacement of fixed px at the knots of each octave, (B, 2, k, k), x first, normalised."""

    def __len__(self) -> int:
        return len(self.fixed_to_base)

    def fixed_places(self, size: int, device: torch.device | str) -> Tensor:
        """(B, 2, size, size) place in the base of every px of fixed."""
        places = centres(size, device)
        for knots in self.bend:
            if knots.any():
                places = places + _between_knots(knots, size, device)
        return mapped(self.fixed_to_base, places)

    def moving_places(self, size: int, device: torch.device | str) -> Tensor:
        """(B, 2, size, size) place in the base of every px of moving."""
        return mapped(self.moving_to_base, centres(size, device))

    def to_moving(self, places: Tensor) -> Tensor:
        """(B, 2, H, W) places in the base -> places in moving."""
        return mapped(np.linalg.inv(self.moving_to_base), places)

    @property
    def matrices(self) -> np.ndarray:
        """(B, 3, 3) fixed -> moving, the bending left out."""
        return np.linalg.inv(self.moving_to_base) @ self.fixed_to_base

    @property
    def is_bent(self) -> np.ndarray:
        """(B,) bool: whether `matrices` is not the whole map."""
        return np.any([knots.any(axis=(1, 2, 3)) for knots in self.bend], axis=0)


def base_side(size: int) -> int:
    """Side of the base of pairs of `size` px."""
    return 8 * round(BASE_PER_SIDE * size / 8)


def centres(size: int, device: torch.device | str) -> Tensor:
    """(1, 2, size, size) normalised centres of an image's px, a view of two lines."""
    line = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def mapped(matrices: np.ndarray, places: Tensor) -> Tensor:
    """(B, 3, 3) homographies applied to (B or 1, 2, H, W) places; those beyond the horizon become far ones."""
    m = uploaded(matrices, places.device)[..., None, None]
    x, y = places[:, 0], places[:, 1]
    u = (m[:, 0, 0] * x).addcmul_(m[:, 0, 1], y).add_(m[:, 0, 2])
    v = (m[:, 1, 0] * x).addcmul_(m[:, 1, 1], y).add_(m[:, 1, 2])
    if np.allclose(matrices[:, 2], (0, 0, 1), rtol=0, atol=1e-12):
        return torch.stack([u, v], 1)
    w = (m[:, 2, 0] * x).addcmul_(m[:, 2, 1], y).add_(m[:, 2, 2])
    # In front of the horizon w is positive; the least that still counts is 1/1000 of its value at the centre.
    far = 1.0 / w.clamp_min(1e-3)
    return torch.stack([u.mul_(far), v.mul_(far)], 1).masked_fill_((w < 1e-3)[:, None], FAR).clamp_(-FAR, FAR)


def _between_knots(knots: np.ndarray, size: int, device: torch.device | str) -> Tensor:
    """(B, 2, k, k) knots, the outermost on the corner px -> (B, 2, size, size), bicubic."""
    count = knots.shape[-1]
    # Interpolation is linear in the knots: along a line of px it is this matrix.
    line = F.interpolate(torch.eye(count)[None, :, :, None], (size, 1), mode="bicubic", align_corners=True)[0, :, :, 0]
    line = line.to(device, non_blocking=True)
    return line.T @ uploaded(knots, device) @ line


def draw_warps(count: int, size: int, base_size: int, host: np.random.Generator, difficulty: Difficulty) -> Warps:
    """Random geometry.

    Half of the pairs are placed so that both sides lie inside the base and have no empty border; the others as drawn.

    Args:
        size: side of the pairs, px.
        base_size: side of the bases, px.
    """
    relative, ratio = _draw_relative(count, host, difficulty)
    bend, reach = _draw_bend(count, host, difficulty)
    zoom = host.uniform(*OWN_ZOOM, count) * size / base_size / np.sqrt(ratio)
    turn = np.radians(host.uniform(-1, 1, count) * min(OWN_TURN_DEG, difficulty.max_angle_deg))
    frame = _similarity(turn, zoom)
    fixed, moving = _corners(frame) * (1 + reach)[:, None, None], _corners(frame @ relative)
    cut = host.random(count) < 0.5
    shrink = np.where(cut, np.minimum(1.0, 0.995 * np.minimum(_fit(fixed), _fit(moving))), 1.0)
    fixed_shift = _inside(shrink[:, None, None] * fixed, host.uniform(-1, 1, (count, 2)))
    moving_shift = np.where(cut[:, None], _clipped(shrink[:, None, None] * moving, fixed_shift), fixed_shift)
    return Warps(_moved(frame, shrink, fixed_shift), _moved(frame @ relative, shrink, moving_shift), bend)


def steps_px(to_base: np.ndarray, size: int, base_size: int) -> np.ndarray:
    """(B,) base px per px at the centre of the images that (B, 3, 3) `to_base` draws."""
    m = to_base / to_base[:, 2:, 2:]
    jacobian = m[:, :2, :2] - m[:, :2, 2:] * m[:, 2:, :2]
    return np.sqrt(np.abs(np.linalg.det(jacobian))) * base_size / size


def _draw_relative(count: int, host: np.random.Generator, difficulty: Difficulty) -> tuple[np.ndarray, np.ndarray]:
    """(B, 3, 3) moving -> fixed, and (B,) its scale."""
    turn = np.radians(host.uniform(-1, 1, count) * difficulty.max_angle_deg)
    ratio = np.exp(host.uniform(-1, 1, count) * np.log(difficulty.max_scale))
    shear, aspect = host.uniform(-1, 1, (2, count)) * difficulty.shear
    skew = np.tile(np.eye(3), (count, 1, 1))
    skew[:, 0, 1] = shear
    skew[:, 0, 0], skew[:, 1, 1] = np.exp(aspect / 2), np.exp(-aspect / 2)
    tilt = np.tile(np.eye(3), (count, 1, 1))
    # At a corner the two parts add up to `perspective` at most, so that the horizon stays outside.
    tilt[:, 2, :2] = host.uniform(-0.5, 0.5, (count, 2)) * difficulty.perspective
    relative = _similarity(turn, ratio) @ skew @ tilt
    # A shift of the whole side is 2 in normalised coordinates.
    return _moved(relative, np.ones(count), 2 * difficulty.max_shift * host.uniform(-1, 1, (count, 2))), ratio


def _draw_bend(
    count: int, host: np.random.Generator, difficulty: Difficulty
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Knots of every octave, and (B,) how far they can push a px."""
    strength = host.uniform(0, 2 * difficulty.elastic, count) * (host.random(count) < BENT_SHARE)
    octaves, reach = [], np.zeros(count)
    for order, knots in enumerate(BEND_KNOTS):
        share = strength / 3**order
        drawn = host.standard_normal((count, 2, knots, knots)).clip(-2, 2) * share[:, None, None, None]
        octaves.append(drawn)
        reach += 1.2 * np.abs(drawn).max(axis=(1, 2, 3))  # the cubic overshoots its knots a little
    return tuple(octaves), reach


def _similarity(turn: np.ndarray, scale: np.ndarray) -> np.ndarray:
    c, s, o = scale * np.cos(turn), scale * np.sin(turn), np.zeros_like(turn)
    return np.stack([c, -s, o, s, c, o, o, o, o + 1], -1).reshape(-1, 3, 3)


def _moved(matrices: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Matrices followed by a scaling about the origin and a shift."""
    after = _similarity(np.zeros(len(scale)), scale)
    after[:, :2, 2] = shift
    return after @ matrices


def _corners(matrices: np.ndarray) -> np.ndarray:
    """(B, 4, 2) where the four corners go."""
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float)
    gone = square @ matrices.transpose(0, 2, 1)
    return gone[..., :2] / gone[..., 2:]


def _fit(corners: np.ndarray) -> np.ndarray:
    """(B,) largest scaling after which the corners fit into the base."""
    return 2.0 / (corners.max(1) - corners.min(1)).max(1)


def _inside(corners: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(B, 2) shift to a place inside the base, chosen by `share` in [-1, 1]; the middle where nothing fits."""
    low, high = -1 - corners.min(1), 1 - corners.max(1)
    return (low + high) / 2 + share * np.maximum(high - low, 0) / 2


def _clipped(corners: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The shift nearest to `shift` that keeps the corners inside the base."""
    low, high = -1 - corners.min(1), 1 - corners.max(1)
    return np.clip(shift, np.minimum(low, high), np.maximum(low, high))
