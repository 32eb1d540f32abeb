"""Pinhole cameras over a ground with heights: perspective, with poses that are known.

World axes: x right and y down on the ground, as its px run, z into the ground; the unit is half of the ground's side,
so that a point h (normalised) high lies at z = -h. Cameras have x right, y down, z forward. Poses are drawn and
multiplied on the host in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import uploaded
from xmatch.synth.warps import FAR, centres, mapped

MOST_TILT_DEG = 40.0
"""Of a camera's axis from the vertical."""
HALF_WIDTH = (0.25, 0.45)
"""Tangent of half the field of view (28 to 48 degrees): with the tilt, no px sees the horizon."""
PX_PER_PX = (0.8, 1.2)
"""Ground px that a px in the middle of an image spans."""
REACH = (0.05, 0.3)
"""Of the height at which the lowest camera flies, what stands highest is drawn out to: as most scenes are, their
parallax against a plane is below a px, and no pose can be told from it."""
MOST_STRETCH = 8.0
"""Of heights: low walls are no towers."""
BEHIND = 1e-6
"""Of what is nearer along a camera's axis nothing is seen."""
OFF_CENTRE = 0.5
"""Of the room that the image leaves on its ground, how much its middle may be off."""


@dataclass(frozen=True, eq=False)
class Pinhole:
    """B cameras."""

    intrinsics: np.ndarray
    """(B, 3, 3) camera -> normalised image positions."""
    rotation: np.ndarray
    """(B, 3, 3) world -> camera."""
    centre: np.ndarray
    """(B, 3) in the world; z is negative: above the ground."""

    def __len__(self) -> int:
        return len(self.centre)

    @property
    def projection(self) -> np.ndarray:
        """(B, 3, 4) world -> normalised image positions: K [R | -R c]."""
        shift = -np.einsum("bij,bj->bi", self.rotation, self.centre)
        return self.intrinsics @ np.concatenate([self.rotation, shift[:, :, None]], 2)

    @property
    def camera_to_world(self) -> np.ndarray:
        """(B, 4, 4)."""
        pose = np.tile(np.eye(4), (len(self), 1, 1))
        pose[:, :3, :3], pose[:, :3, 3] = self.rotation.transpose(0, 2, 1), self.centre
        return pose

    def intrinsics_px(self, size: int) -> np.ndarray:
        """(B, 3, 3) camera -> px of images of `size` x `size` px, corner-counted."""
        half = size / 2
        return np.array([[half, 0, half], [0, half, half], [0, 0, 1]]) @ self.intrinsics

    def rays(self, size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        # The plane z = 0 is seen by a homography; from there rays run towards the camera.
        own = mapped(np.linalg.inv(self.projection[:, :, [0, 1, 3]]), centres(size, device))
        centre = uploaded(self.centre, device)[:, :, None, None]
        return own, (own - centre[:, :2]) / -centre[:, 2:]

    def places(self, ground: Tensor, height: Tensor) -> Tensor:
        matrix = uploaded(self.projection, ground.device)
        points = torch.cat([ground, -height, torch.ones_like(height)], 1)
        xy, ahead = torch.einsum("bij,bjhw->bihw", matrix, points).split((2, 1), 1)
        return torch.where(ahead > BEHIND, xy / ahead.clamp_min(BEHIND), FAR).clamp(-FAR, FAR)

    def depth(self, ground: Tensor, height: Tensor) -> Tensor:
        """(B, 1, h, w) of points along the cameras' axes, in the unit of the world."""
        axis = uploaded(self.rotation[:, 2], ground.device)
        away = torch.cat([ground, -height], 1) - uploaded(self.centre, ground.device)[:, :, None, None]
        return torch.einsum("bi,bihw->bhw", axis, away)[:, None]

    def among(self, chosen: slice | np.ndarray) -> Pinhole:
        """Some of the cameras."""
        return Pinhole(self.intrinsics[chosen], self.rotation[chosen], self.centre[chosen])


def joined(cameras: list[Pinhole]) -> Pinhole:
    """All of them, one after the other."""
    parts = ([getattr(one, name) for one in cameras] for name in ("intrinsics", "rotation", "centre"))
    return Pinhole(*(np.concatenate(part) for part in parts))


def draw_cameras(
    count: int, views: int, width: float, host: np.random.Generator, difficulty: Difficulty
) -> list[Pinhole]:
    """Cameras that look at one place each of `count` grounds: the first from anywhere up to `MOST_TILT_DEG` off the
    vertical, the others from directions up to `difficulty.max_parallax_deg` from its.

    Args:
        views: of each ground.
        width: of an image on its ground, normalised (2: the whole of it), where a px spans a px.

    Returns:
        `views` times `count` cameras.
    """
    room = OFF_CENTRE * max(0.0, 1 - width / 2)
    target = np.concatenate([host.uniform(-room, room, (count, 2)), np.zeros((count, 1))], 1)
    vertical = np.tile([0.0, 0.0, 1.0], (count, 1))
    axis = _tilted(vertical, MOST_TILT_DEG, host)
    turn = host.uniform(0, 2 * np.pi, count)
    cos, sin, zero = np.cos(turn), np.sin(turn), np.zeros(count)
    roll = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1], 1).reshape(-1, 3, 3)
    upright = roll @ _rotation(vertical, axis).transpose(0, 2, 1)
    cameras = []
    for view in range(views):
        # The others are turned from the first by the shortest way: what is up stays up.
        other = _lifted(_tilted(axis, difficulty.max_parallax_deg, host)) if view else axis
        rotation = upright @ _rotation(axis, other).transpose(0, 2, 1)
        half = host.uniform(*HALF_WIDTH, count)
        away = width / 2 * host.uniform(*PX_PER_PX, count) / half
        intrinsics = np.stack([1 / half, zero, zero, zero, 1 / half, zero, zero, zero, zero + 1], 1).reshape(-1, 3, 3)
        cameras.append(Pinhole(intrinsics, rotation, target - away[:, None] * other))
    return cameras


def stretched(height: Tensor, cameras: list[Pinhole], host: np.random.Generator) -> Tensor:
    """(B, 1, P, P) px, heights of B grounds drawn out for the cameras over them."""
    lowest = np.min([-camera.centre[:, 2] for camera in cameras], axis=0) * height.shape[-1] / 2
    reach = uploaded(host.uniform(*REACH, len(height)) * lowest, height.device)[:, None, None, None]
    return height * (reach / height.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)).clamp_max(MOST_STRETCH)


def _tilted(axis: np.ndarray, most_deg: float, host: np.random.Generator) -> np.ndarray:
    """(B, 3) directions up to so far from (B, 3) others, evenly over the angle."""
    angle = np.radians(most_deg) * host.random(len(axis))
    around = host.normal(size=axis.shape)
    around -= (around * axis).sum(1, keepdims=True) * axis
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    return np.cos(angle)[:, None] * axis + np.sin(angle)[:, None] * around


def _lifted(axis: np.ndarray) -> np.ndarray:
    """(B, 3) directions, those beyond `MOST_TILT_DEG` from the vertical brought back to it."""
    most = np.radians(MOST_TILT_DEG)
    flat = np.linalg.norm(axis[:, :2], axis=1, keepdims=True)
    down = np.concatenate([np.sin(most) * axis[:, :2] / np.maximum(flat, 1e-9), np.full_like(flat, np.cos(most))], 1)
    return np.where(axis[:, 2:] < np.cos(most), down, axis)


def _rotation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(B, 3, 3) shortest turns that take (B, 3) unit vectors to others, less than 180 degrees away (Rodrigues)."""
    x, y, z = np.cross(one, other).T
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    cos = (one * other).sum(1)[:, None, None]
    return np.eye(3) + skew + skew @ skew / (1 + cos)
