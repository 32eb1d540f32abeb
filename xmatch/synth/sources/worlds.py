"""Procedural worlds: a pool of scenes, renewed one by one, so that making worlds does not hold up training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.modalities.filters import gray
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere

SCENE_PER_SIDE = 1.5
"""Side of a scene over that of what is drawn from it."""


@dataclass(frozen=True, eq=False)
class _Held:
    kind: str
    sensors: tuple[str, ...]
    views: Tensor
    """(K, H, W), one per sensor."""


class Worlds:
    """Random places of procedural scenes, each seen by two of the scene's sensors.

    Args:
        kinds: names of worlds (`xmatch.synth.worlds`), drawn evenly.
        pool: scenes held; the pool fills by and by.
        uses: pairs drawn from the pool before its oldest scene is replaced.
        make: `xmatch.synth.worlds.make_world`, or one like it.

    Raises:
        UsageError: an unknown world.
    """

    def __init__(
        self, kinds: Sequence[str], pool: int = 24, uses: int = 16, make: Callable[..., Any] | None = None
    ) -> None:
        if make is None:
            from xmatch.synth.worlds import make_world as make
        self._make = make
        self._kinds = tuple(kinds)
        self._pool_size = pool
        self._uses = uses
        self._pool: deque[_Held] = deque()
        self._side = 0
        self._drawn = 0

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        self._renew(count, size, rng, host)
        first, second, names, origins = [], [], [], []
        for _ in range(count):
            held = self._pool[host.integers(len(self._pool))]
            pairs = list(combinations(range(len(held.sensors)), 2)) or [(0, 0)]
            pair = pairs[host.integers(len(pairs))]
            order = list(pair) if host.random() < 0.5 else list(pair[::-1])
            if host.random() >= difficulty.gap:
                order[1] = order[0]
            views = _cut(held.views, size, host)
            first.append(views[order[0]])
            second.append(views[order[1]])
            names.append((held.sensors[order[0]], held.sensors[order[1]]))
            origins.append(held.kind)
        images = torch.stack(first)[:, None], torch.stack(second)[:, None]
        valid = everywhere(images[0])
        return Aligned(*images, valid, valid, tuple(names), tuple(origins))

    def _renew(self, count: int, size: int, rng: torch.Generator, host: np.random.Generator) -> None:
        """Make a scene while the pool is not full, and whenever the pool has been used enough."""
        side = 8 * round(SCENE_PER_SIDE * size / 8)
        if side != self._side:
            self._pool.clear()
            self._side = side
        self._drawn += count
        missing = min(max(1, self._pool_size // 4), self._pool_size) if not self._pool else 0
        if not missing and (len(self._pool) < self._pool_size or self._drawn >= self._uses):
            missing = 1
        if missing:
            self._drawn = 0
        for _ in range(missing):
            kind = self._kinds[host.integers(len(self._kinds))]
            scene = self._make(kind, 1, side, rng)
            views = torch.cat([gray(scene.render(sensor, rng)) for sensor in scene.sensors], 1)[0]
            self._pool.append(_Held(kind, tuple(scene.sensors), views))
            if len(self._pool) > self._pool_size:
                self._pool.popleft()


def _cut(views: Tensor, size: int, host: np.random.Generator) -> Tensor:
    """(K, H, W) -> (K, size, size): a random square, quarter-turned, from native scale to half of it."""
    side = views.shape[-1]
    wide = int(host.integers(min(size, side), side + 1))
    y, x = int(host.integers(side - wide + 1)), int(host.integers(side - wide + 1))
    cut = views[:, y : y + wide, x : x + wide]
    if wide != size:
        cut = F.interpolate(cut[None], (size, size), mode="bilinear", antialias=wide > size, align_corners=False)[0]
    return torch.rot90(cut, int(host.integers(4)), (1, 2))
