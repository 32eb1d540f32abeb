"""Procedural scenes as they are kept: what every sensor sees, in eight bits, and two views from aside.

A scene is a function of its seed and its kind alone, made on the CPU whatever draws from it, so that any process may
make it, beside the training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.modalities.filters import gray
from xmatch.synth.resampling import bilinear, within
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources.parallax import Oblique, calm, flow_between, look
from xmatch.synth.warps import FAR, centres

SAME_SHARE = 0.02
"""Two cameras see one point of a room if what they see is nearer to each other than this share of its distance."""
MOST_LEAN = 0.6
"""Displacement per height of an oblique view: 31 degrees from the vertical."""


@dataclass(frozen=True)
class SceneJob:
    """All that says which scene it is."""

    kinds: tuple[str, ...]
    """Worlds it is drawn from, evenly."""
    side: int
    """Px."""
    seed: tuple[int, ...]
    for_pinholes: bool = False
    """Heights are kept, for cameras that are drawn later, and rooms are seen twice."""


class Job(Protocol):
    """What a scene is made from, hashable; the same job makes the same scene."""

    @property
    def side(self) -> int: ...

    @property
    def seed(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, eq=False)
class StoredScene:
    """One scene of S x S px, seen by K sensors.

    Planes: the K views from straight above; where the scene knows its heights also the K of the first oblique camera,
    the K of the second, and three masks of 0 and 255: the first camera's px look at the scene, the second's do, the
    second sees what the first sees there.
    """

    kind: str
    sensors: tuple[str, ...]
    planes: Tensor
    """(K or 3 K + 3, S, S) uint8."""
    offset: Tensor | None = None
    """(2, S, S) float16: from a px of the first oblique view to the same point in the second, normalised."""
    height: Tensor | None = None
    """(1, S, S) float16 px above the ground, where the job asks for it and the scene knows it."""
    pinhole_deg: float | None = None
    """What is kept are no oblique views but two in perspective, so far apart; the first is in place of that from above,
    too."""

    def to(self, device: torch.device | str) -> StoredScene:
        """The same scene on another device."""
        planes = self.planes.to(device, non_blocking=True)
        offset, height = (
            part if part is None else part.to(device, non_blocking=True) for part in (self.offset, self.height)
        )
        return replace(self, planes=planes, offset=offset, height=height)


@runtime_checkable
class OwnSceneJob(Job, Protocol):
    """A job that makes its scene itself: one of no world."""

    def scene(self) -> StoredScene: ...


@torch.no_grad()
def make_scene(job: Job, make: Callable[..., Any]) -> StoredScene:
    """Args: make `xmatch.synth.worlds.make_world`, or one like it. A job that is not of a world makes its own scene."""
    if isinstance(job, OwnSceneJob):
        return job.scene()
    assert isinstance(job, SceneJob)
    rng = device_rng("cpu", *job.seed)
    host = host_rng(rng)
    kind = job.kinds[host.integers(len(job.kinds))]
    if job.for_pinholes and kind == "indoor":
        return _seen_twice(kind, job.side, rng)
    scene = make(kind, 1, job.side, rng)
    views = torch.cat([gray(scene.render(sensor, rng)) for sensor in scene.sensors], 1)
    height = getattr(scene, "height", None)
    if height is None or not bool((height > 0).any()):
        return StoredScene(kind, tuple(scene.sensors), in_bytes(views[0]))
    angles, leans = host.uniform(0, 2 * np.pi, 2), MOST_LEAN * np.sqrt(host.random(2))
    lean = torch.as_tensor(np.stack([np.cos(angles), np.sin(angles)], 1) * leans[:, None], dtype=torch.float32)
    first, second = (look(height, Oblique(one[None])) for one in lean)
    flow, seen = flow_between(first, second)
    masks = [camera.on_ground[:, 0].float() for camera in (first, second)]
    planes = [views[0], first.image(views)[0], second.image(views)[0], *masks, seen.float()]
    offset = flow.permute(0, 3, 1, 2) - centres(job.side, "cpu")
    kept = height[0].half() if job.for_pinholes else None
    return StoredScene(kind, tuple(scene.sensors), in_bytes(torch.cat(planes)), offset[0].half(), kept)


def _seen_twice(kind: str, side: int, rng: torch.Generator) -> StoredScene:
    """A room by two cameras."""
    from xmatch.synth.worlds.indoor import SENSORS, make_room

    room = make_room(1, side, rng, 2, Difficulty.FULL.max_parallax_deg)
    first, second = room.stand.cameras()
    views = torch.cat([sensor(room, rng).clamp(0.0, 1.0) for sensor in SENSORS.values()], 1)
    views = views.view(len(SENSORS), 2, side, side).transpose(0, 1)
    here, other = room.point.view(3, 2, side, side).transpose(0, 1)[:, None]
    there = second.places(here[:, :2], -here[:, 2:])
    distance = room.depth[:, :, :side]
    apart = (bilinear(other, there) - here).norm(dim=1, keepdim=True)
    seen = (apart < SAME_SHARE * distance) & within(there) & calm(there * (side / 2))[:, None]
    planes = [views[0], views[0], views[1], torch.ones(2, side, side), seen[0].float()]
    cosine = float(np.clip(first.rotation[0, 2] @ second.rotation[0, 2], -1, 1))
    offset = (there - centres(side, "cpu"))[0].clamp(-FAR, FAR).half()
    return StoredScene(
        kind, tuple(SENSORS), in_bytes(torch.cat(planes)), offset, pinhole_deg=float(np.degrees(np.arccos(cosine)))
    )


def in_bytes(planes: Tensor) -> Tensor:
    """Values in [0, 1] as uint8."""
    return (planes * 255).round_().clamp_(0, 255).byte()
