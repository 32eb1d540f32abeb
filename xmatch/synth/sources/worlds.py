"""Procedural worlds: a pool of scenes, renewed by and by, so that making worlds does not hold up training.

Scenes that know their heights (`scene.height`, (B, 1, S, S), px) are also seen from aside: half of the draws then show
two oblique views, with parallax, and the flow between them. A share that the caller names is seen in perspective
instead, by two pinhole cameras of its own for every pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.resampling import bilinear, resampled
from xmatch.synth.seeds import host_rng, uploaded
from xmatch.synth.sources.aligned import Aligned, everywhere, joined
from xmatch.synth.sources.perspective import named, seen_in_perspective
from xmatch.synth.sources.scenes import Job, SceneJob, StoredScene, make_scene
from xmatch.synth.warps import centres

SCENE_PER_SIDE = 1.5
"""Side of a scene over that of what is drawn from it."""
PARALLAX_SHARE = 0.5
"""Of draws from scenes with heights."""
FIRST_SHARE = 4
"""One of so many scenes of a full pool is there for the first draw."""


class SceneMaker(Protocol):
    """Where scenes come from."""

    ahead: int
    """Scenes that it wants to be asked for before they are needed."""

    def ask(self, job: Job) -> None:
        """This scene will be taken later: time to make it."""

    def take(self, job: Job) -> StoredScene:
        """The scene, on any device."""


class MadeHere:
    """Makes scenes when they are taken, in this process."""

    ahead = 0

    def __init__(self, make: Callable[..., Any] | None = None) -> None:
        if make is None:
            from xmatch.synth.worlds import make_world

            make = make_world
        self._make: Callable[..., Any] = make

    def ask(self, job: Job) -> None:
        """Nothing."""

    def take(self, job: Job) -> StoredScene:
        return make_scene(job, self._make)


class Worlds:
    """Random places of procedural scenes, each seen by two of the scene's sensors.

    The scenes at hand while draw k is made are a function of k and of a seed, whatever was drawn before.

    Args:
        kinds: names of worlds (`xmatch.synth.worlds`), drawn evenly; one that is named twice comes twice as often.
        pool: scenes held; the pool fills by and by.
        fresh: new scenes a draw, each in place of the oldest.
        side: of the scenes, px, a multiple of 8; None: `SCENE_PER_SIDE` times that of what is drawn.
        maker: of the scenes.
        pinhole_share: of pairs of scenes with heights that two pinhole cameras see.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        pool: int = 24,
        fresh: float = 1 / 3,
        side: int | None = None,
        maker: SceneMaker | None = None,
        pinhole_share: float = 0.0,
    ) -> None:
        self.maker = maker or MadeHere()
        self._kinds = tuple(kinds)
        self._pool_size = pool
        self._fresh = fresh
        self._fixed_side = side
        self._pinhole_share = pinhole_share
        self._pool: dict[int, StoredScene] = {}
        self._side = 0
        self._asked = 0
        self._number = 0
        self._seed: tuple[int, ...] | None = None

    def go_to(self, number: int, *seed: int) -> None:
        """The next draw is number `number` of those with this seed."""
        if seed != self._seed:
            self._pool.clear()
            self._asked = 0
        self._number, self._seed = number, seed

    def foresee(self, size: int) -> None:
        """Ask for the scenes of the next draw, of `size` px, and for those that follow."""
        side = self._fixed_side or 8 * round(SCENE_PER_SIDE * size / 8)
        if side != self._side:
            self._pool.clear()
            self._side, self._asked = side, 0
        wanted = self._wanted()
        for number in range(max(self._asked, wanted.start), wanted.stop + self.maker.ahead):
            self.maker.ask(self._job(number))
        self._asked = wanted.stop + self.maker.ahead

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        if self._seed is None:
            self._seed = (rng.initial_seed(),)
        host = host_rng(rng)
        self._renew(size, rng.device)
        self._number += 1
        pool = list(self._pool.values())
        scenes = [pool[number] for number in host.integers(len(pool), size=count)]
        lifted = np.array([scene.offset is not None and scene.pinhole_deg is None for scene in scenes])
        aside = lifted if lifted.any() and host.random() < PARALLAX_SHARE else np.zeros(count, bool)
        seen_by = _two_of(np.array([len(scene.sensors) for scene in scenes]), host, difficulty.gap)
        posed = self._in_perspective(scenes, host, difficulty)
        aside = aside | posed
        anew = posed & np.array([scene.height is not None for scene in scenes])
        parts, order = [], [chosen for chosen in (np.flatnonzero(~anew), np.flatnonzero(anew)) if len(chosen)]
        for chosen in order:
            some, sensors = [scenes[i] for i in chosen], [seen_by[i] for i in chosen]
            if anew[chosen[0]]:
                parts.append(seen_in_perspective(some, sensors, size, host, difficulty))
            else:
                parts.append(self._as_kept(some, sensors, size, rng.device, host, aside[chosen]))
        return joined(parts, np.concatenate(order))

    def _in_perspective(
        self, scenes: Sequence[StoredScene], host: np.random.Generator, difficulty: Difficulty
    ) -> np.ndarray:
        """(B,) bool: by two pinhole cameras that are not too far apart; rooms keep what two saw of them."""
        if not self._pinhole_share:
            return np.zeros(len(scenes), bool)
        apart = [0.0 if s.height is not None else np.inf if s.pinhole_deg is None else s.pinhole_deg for s in scenes]
        return (np.array(apart) <= difficulty.max_parallax_deg) & (host.random(len(scenes)) < self._pinhole_share)

    def _as_kept(
        self,
        scenes: Sequence[StoredScene],
        seen_by: Sequence[tuple[int, int]],
        size: int,
        device: torch.device,
        host: np.random.Generator,
        aside: np.ndarray,
    ) -> Aligned:
        """Cut-outs of what was seen from straight above or, for those in (B,) `aside`, of the two other views."""
        count = len(scenes)
        names, origins = named(scenes, seen_by)
        places = _places(count, size, self._side, host)
        there = _looked_at(places, centres(size, device))
        stack = []
        for scene, pair, other in zip(scenes, seen_by, aside, strict=True):
            skipped = len(scene.sensors) if other else 0
            stack += [scene.planes[skipped + pair[0]], scene.planes[2 * skipped + pair[1]]]
        step = np.abs(places[:, 0, :2]).sum(1) * self._side / size
        images = torch.stack(stack).view(count, 2, self._side, self._side)
        first, second = resampled(images.float().div_(255.0), there, step).split(1, 1)
        if not aside.any():
            valid = everywhere(first)
            return Aligned(first, second, valid, valid, names, origins)
        masks, offset = _from_aside(scenes, aside, self._side, device)
        sure = bilinear(masks, there) > 0.999
        moved = _turned_back(bilinear(offset, there), places)
        flow = (centres(size, device) + moved).permute(0, 2, 3, 1)
        return Aligned(first, second, sure[:, :1], sure[:, 1:2], names, origins, flow, sure[:, 2], aside)

    def _renew(self, size: int, device: torch.device) -> None:
        """Let go of old scenes and take new ones, so that the pool is that of this draw."""
        self.foresee(size)
        wanted = self._wanted()
        self._pool = {number: scene for number, scene in self._pool.items() if number in wanted}
        for number in wanted:
            if number not in self._pool:
                self._pool[number] = self.maker.take(self._job(number)).to(device)

    def _wanted(self) -> range:
        """Numbers of the scenes of the next draw."""
        newest = max(1, self._pool_size // FIRST_SHARE) + int(self._number * self._fresh + 1e-6)
        return range(max(0, newest - self._pool_size), newest)

    def _job(self, number: int) -> Job:
        return SceneJob(self._kinds, self._side, (*(self._seed or ()), number), self._pinhole_share > 0)


def _two_of(sensors: np.ndarray, host: np.random.Generator, gap: float) -> list[tuple[int, int]]:
    """Of so many sensors each, two in either order or, with a share of 1 - gap, one twice."""
    first = host.integers(sensors)
    other = 1 + (host.random(len(sensors)) * (sensors - 1)).astype(int)
    second = np.where(host.random(len(sensors)) < gap, (first + other) % sensors, first)
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _places(count: int, size: int, side: int, host: np.random.Generator) -> np.ndarray:
    """(B, 2, 3) from normalised coordinates of a cut-out of `size` px to those of its scene of `side` px: a square of
    whole px, at least as large as the cut-out where the scene allows, and quarter-turned."""
    wide = host.integers(min(size, side), side + 1, size=count)
    corner = np.floor(host.random((count, 2)) * (side - wide + 1)[:, None])
    middle = (2 * corner + wide[:, None]) / side - 1
    turn = 0.5 * np.pi * host.integers(4, size=count)
    cos, sin = np.cos(turn).round() * wide / side, np.sin(turn).round() * wide / side
    return np.stack([np.stack([cos, -sin, middle[:, 0]], 1), np.stack([sin, cos, middle[:, 1]], 1)], 1)


def _looked_at(places: np.ndarray, own: Tensor) -> Tensor:
    """(B, 2, S, S) where in the scenes the (1, 2, S, S) px of the cut-outs lie."""
    matrix = uploaded(places, own.device)
    return torch.einsum("bij,zjhw->bihw", matrix[:, :, :2], own) + matrix[:, :, 2, None, None]


def _turned_back(offset: Tensor, places: np.ndarray) -> Tensor:
    """(B, 2, S, S) differences between places of the scenes as differences in the cut-outs."""
    inverse = np.linalg.inv(places[:, :, :2])
    return torch.einsum("bij,bjhw->bihw", uploaded(inverse, offset.device), offset)


def _from_aside(
    scenes: Sequence[StoredScene], aside: np.ndarray, side: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) masks in [0, 1] and (B, 2, S, S) offset of two views; where (B,) `aside` says no, nothing is hidden
    and nothing moves."""
    whole = torch.full((3, side, side), 255, dtype=torch.uint8, device=device)
    still = torch.zeros((2, side, side), dtype=torch.float16, device=device)
    masks = [scene.planes[-3:] if other else whole for scene, other in zip(scenes, aside, strict=True)]
    offset = [
        scene.offset if other and scene.offset is not None else still
        for scene, other in zip(scenes, aside, strict=True)
    ]
    return torch.stack(masks).float().div_(255.0), torch.stack(offset).float()
