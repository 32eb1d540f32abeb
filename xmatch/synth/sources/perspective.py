"""Stored scenes as two pinhole cameras see them, drawn anew for every pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.pinhole import draw_cameras, joined, stretched
from xmatch.synth.sources.aligned import Aligned
from xmatch.synth.sources.parallax import Seen, flow_between, look
from xmatch.synth.sources.scenes import StoredScene

STEPS = 32
"""Heights tried along a ray: near the border of an image rays lean by more than oblique cameras do."""


def seen_in_perspective(
    scenes: Sequence[StoredScene],
    seen_by: Sequence[tuple[int, int]],
    size: int,
    host: np.random.Generator,
    difficulty: Difficulty,
) -> Aligned:
    """One pair of images of `size` px of each scene, which all know their heights, with the flow between them.

    Args:
        seen_by: numbers of the two sensors.
        difficulty: how far the cameras are apart.
    """
    count = len(scenes)
    height = torch.stack([scene.height for scene in scenes if scene.height is not None]).float()
    cameras = draw_cameras(count, 2, 2 * size / height.shape[-1], host, difficulty)
    height = stretched(height, cameras, host)
    # Both cameras at once: as many launches as for one.
    seen = look(torch.cat([height, height]), joined(cameras), size, STEPS)
    first, second = (
        Seen(seen.ground[part], seen.height[part], camera, seen.per_px)
        for part, camera in zip((slice(count), slice(count, None)), cameras, strict=True)
    )
    flow, covisible = flow_between(first, second)
    planes = [s.planes[pair[k]] for k in (0, 1) for s, pair in zip(scenes, seen_by, strict=True)]
    images = seen.image(torch.stack(planes)[:, None].float().div_(255.0))
    valid = seen.on_ground
    names, origins = named(scenes, seen_by)
    return Aligned(images[:count], images[count:], valid[:count], valid[count:], names, origins, flow, covisible)


def named(
    scenes: Sequence[StoredScene], seen_by: Sequence[tuple[int, int]]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Names of the sensors of each pair, and of each scene."""
    names = ((s.sensors[a], s.sensors[b]) for s, (a, b) in zip(scenes, seen_by, strict=True))
    return tuple(names), tuple(scene.kind for scene in scenes)
