"""Procedural worlds: a pool of scenes, renewed one by one, so that making worlds does not hold up training.

Scenes that know their heights (`scene.height`, (B, 1, S, S), px) are also seen from aside: half of the draws then show
two oblique views, with parallax, and the flow between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.modalities.filters import gray
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.parallax import flow_between, look
from xmatch.synth.warps import centres

SCENE_PER_SIDE = 1.5
"""Side of a scene over that of what is drawn from it."""
PARALLAX_SHARE = 0.5
"""Of draws from scenes with heights."""
MOST_LEAN = 0.6
"""Displacement per height of an oblique view: 31 degrees from the vertical."""


@dataclass(frozen=True, eq=False)
class _Oblique:
    """Two oblique views of a scene."""

    views: tuple[Tensor, Tensor]
    """(1, K, S, S) each."""
    valid: tuple[Tensor, Tensor]
    """(1, 1, S, S) bool: the px looks at the scene, not past its border."""
    flow: Tensor
    """(1, S, S, 2) from the first to the second."""
    seen: Tensor
    """(1, S, S) bool."""


@dataclass(frozen=True, eq=False)
class _Held:
    kind: str
    sensors: tuple[str, ...]
    views: Tensor
    """(1, K, S, S), one per sensor, from straight above."""
    oblique: _Oblique | None = None
    """Where the scene knows its heights."""


@dataclass(frozen=True)
class _Place:
    """A square of a scene, in px, and by how many quarter turns it is turned."""

    x: int
    y: int
    side: int
    turns: int

    def cut(self, image: Tensor, size: int) -> Tensor:
        """(B, C, S, S) -> (B, C, size, size)."""
        part = image[..., self.y : self.y + self.side, self.x : self.x + self.side]
        if self.side != size:
            shrinks = self.side > size
            part = F.interpolate(part, (size, size), mode="bilinear", antialias=shrinks, align_corners=False)
        return torch.rot90(part, self.turns, (2, 3))

    def cut_flow(self, flow: Tensor, seen: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """(1, S, S, 2) normalised in the scene and (1, S, S) bool -> the same in the cut, (size, size, 2) and bool."""
        scene = flow.shape[1]
        middle = flow.new_tensor([2 * self.x + self.side, 2 * self.y + self.side]) / scene - 1
        inner = ((flow - middle) * (scene / self.side)).permute(0, 3, 1, 2)
        sure = self.cut(seen[:, None].float(), size)[0, 0] > 0.999
        inner = self.cut(inner, size)[0]
        for _ in range(self.turns % 4):
            inner = torch.stack([inner[1], -inner[0]])  # rot90 takes (x, y) to (y, -x)
        return inner.permute(1, 2, 0), sure


class Worlds:
    """Random places of procedural scenes, each seen by two of the scene's sensors.

    The scenes at hand while draw k is made are a function of k and of a seed, whatever was drawn before.

    Args:
        kinds: names of worlds (`xmatch.synth.worlds`), drawn evenly.
        pool: scenes held; the pool fills by and by.
        draws: until the oldest scene is replaced by a new one.
        make: `xmatch.synth.worlds.make_world`, or one like it.
    """

    def __init__(
        self, kinds: Sequence[str], pool: int = 24, draws: int = 3, make: Callable[..., Any] | None = None
    ) -> None:
        if make is None:
            from xmatch.synth.worlds import make_world as make
        self._make = make
        self._kinds = tuple(kinds)
        self._pool_size = pool
        self._draws = draws
        self._pool: dict[int, _Held] = {}
        self._side = 0
        self._number = 0
        self._seed: tuple[int, ...] | None = None

    def go_to(self, number: int, *seed: int) -> None:
        """The next draw is number `number` of those with this seed."""
        if seed != self._seed:
            self._pool.clear()
        self._number, self._seed = number, seed

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        if self._seed is None:
            self._seed = (rng.initial_seed(),)
        host = host_rng(rng)
        self._renew(size, rng.device)
        self._number += 1
        pool = list(self._pool.values())
        held = [pool[host.integers(len(pool))] for _ in range(count)]
        with_parallax = any(one.oblique for one in held) and host.random() < PARALLAX_SHARE
        parts = [_pair(one, size, host, difficulty.gap, with_parallax) for one in held]
        joined = {f.name: _joined([getattr(part, f.name) for part in parts]) for f in fields(Aligned)}
        return Aligned(**joined)

    def _renew(self, size: int, device: torch.device) -> None:
        """Let go of old scenes and make new ones, so that the pool is that of this draw."""
        side = 8 * round(SCENE_PER_SIDE * size / 8)
        if side != self._side:
            self._pool.clear()
            self._side = side
        newest = max(1, self._pool_size // 4) + self._number // self._draws
        wanted = range(max(0, newest - self._pool_size), newest)
        self._pool = {number: held for number, held in self._pool.items() if number in wanted}
        for number in wanted:
            if number not in self._pool:
                rng = device_rng(device, *self._seed, number)
                host = host_rng(rng)
                kind = self._kinds[host.integers(len(self._kinds))]
                self._pool[number] = _held(self._make, kind, side, rng, host)


def _held(make: Callable[..., Any], kind: str, side: int, rng: torch.Generator, host: np.random.Generator) -> _Held:
    scene = make(kind, 1, side, rng)
    views = torch.cat([gray(scene.render(sensor, rng)) for sensor in scene.sensors], 1)
    height = getattr(scene, "height", None)
    oblique = _seen_from_aside(height, views, host) if height is not None and bool((height > 0).any()) else None
    return _Held(kind, tuple(scene.sensors), views, oblique)


def _seen_from_aside(height: Tensor, views: Tensor, host: np.random.Generator) -> _Oblique:
    angles, leans = host.uniform(0, 2 * np.pi, 2), MOST_LEAN * np.sqrt(host.random(2))
    directions = np.stack([np.cos(angles), np.sin(angles)], 1) * leans[:, None]
    lean = torch.as_tensor(directions, dtype=torch.float32, device=views.device)
    first, second = (look(height, one[None]) for one in lean)
    valid = tuple((camera.ground.abs() <= 1).all(1, keepdim=True) for camera in (first, second))
    return _Oblique((first.image(views), second.image(views)), valid, *flow_between(first, second))


def _pair(held: _Held, size: int, host: np.random.Generator, gap: float, with_parallax: bool) -> Aligned:
    """One pair; with a flow if any of the draw has one, the identity where the scene is flat."""
    pairs = list(combinations(range(len(held.sensors)), 2)) or [(0, 0)]
    first, second = pairs[host.integers(len(pairs))]
    if host.random() < 0.5:
        first, second = second, first
    if host.random() >= gap:
        second = first
    side = held.views.shape[-1]
    wide = int(host.integers(min(size, side), side + 1))
    x, y = (int(host.integers(side - wide + 1)) for _ in range(2))
    place = _Place(x, y, wide, int(host.integers(4)))
    names = ((held.sensors[first], held.sensors[second]),)
    oblique = held.oblique if with_parallax else None
    views = (held.views, held.views) if oblique is None else oblique.views
    cuts = [place.cut(v[:, number : number + 1], size) for v, number in zip(views, (first, second), strict=True)]
    if oblique is not None:
        valid = [place.cut(one.float(), size) > 0.999 for one in oblique.valid]
        flow, seen = place.cut_flow(oblique.flow, oblique.seen, size)
        return Aligned(*cuts, *valid, names, (held.kind,), flow[None], seen[None])
    valid = [everywhere(cuts[0])] * 2
    if not with_parallax:
        return Aligned(*cuts, *valid, names, (held.kind,))
    still = centres(size, cuts[0].device).permute(0, 2, 3, 1)
    return Aligned(*cuts, *valid, names, (held.kind,), still, valid[0][:, 0])


def _joined(values: list) -> Any:
    if values[0] is None:
        return None
    return torch.cat(values) if isinstance(values[0], Tensor) else sum(values, ())
