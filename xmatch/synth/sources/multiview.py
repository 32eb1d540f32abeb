"""Two views of a scene with depth and camera poses: parallax and occlusion as they really are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from xmatch.datasets import megadepth
from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.cameras import OCCLUDED, CameraView, at, find_scenes, read_depth, reprojected
from xmatch.synth.sources.crops import to_tensor
from xmatch.synth.sources.files import Images
from xmatch.synth.sources.published_scenes import PublishedScene, published_scenes
from xmatch.synth.sources.sensors import Sensors
from xmatch.synth.sources.squares import both, random_square, square_around, steady

OVERLAP = (0.2, 0.95)
"""Share of a view's points that lie inside the other's image, hidden or not."""
LEAST_SEEN = 0.1
"""Share of px seen in both squares; below, other views are tried."""
TRIES = 8
"""Pairs of views looked at for one that sees enough; not tuned."""
LATTICE = 16
"""Points along a side by which overlaps are judged."""
MOST_CANDIDATES = 512
"""Views of a scene that are considered as partners of one, spread evenly."""


def depth_maps() -> Images:
    """A reader and cache of depth maps."""
    return Images(decode=read_depth)


class MultiView:
    """Squares of two overlapping views, with the flow that depth and poses give.

    Args:
        scenes: views of each scene; a `PublishedScene` says which of them make pairs, of others overlaps decide.
        sensors: which sensors see them.
        images: reads and holds the images.
        depths: reads and holds the depth maps, as `depth_maps` does.

    Raises:
        InputError: no scene.
    """

    def __init__(
        self,
        scenes: Sequence[Sequence[CameraView]],
        sensors: Sensors,
        images: Images | None = None,
        depths: Images | None = None,
    ) -> None:
        self._scenes = [views for views in scenes if len(views) > 1]
        if not self._scenes:
            raise InputError("no scene with two posed views", hint="wanted: image, depth, pose and intrinsics")
        self._sensors = sensors
        self._images = images or Images()
        self._depths = depths or depth_maps()
        self._partners: dict[tuple[int, int], np.ndarray] = {}

    @classmethod
    def below(
        cls, folder: str | Path, sensors: Sensors, images: Images | None = None, depths: Images | None = None
    ) -> MultiView:
        """All scenes below a folder: the lists of MegaDepth, or what `find_scenes` finds."""
        root = Path(folder)
        listed = root.is_dir() and megadepth.has_training(root)
        return cls(published_scenes(root) if listed else find_scenes(root), sensors, images, depths)

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        drawn = [self._pair(size, host) for _ in range(count)]
        first = to_tensor([pair[0] for pair in drawn], rng.device)
        second = to_tensor([pair[1] for pair in drawn], rng.device)
        flow = torch.from_numpy(np.stack([pair[2] for pair in drawn])).to(rng.device)
        seen = torch.from_numpy(np.stack([pair[3] for pair in drawn])).to(rng.device)
        first, second, names = self._sensors.see_views(first, second, rng, host, difficulty.gap)
        origins = tuple(pair[4] for pair in drawn)
        return Aligned(first, second, everywhere(first), everywhere(second), names, origins, flow, seen)

    def _pair(self, size: int, host: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
        """The better of a few tries: two squares, flow (S, S, 2), seen (S, S), the first image's name."""
        best, most, failure = None, -1.0, None
        for _ in range(TRIES):
            scene = int(host.integers(len(self._scenes)))
            views = self._scenes[scene]
            number = int(host.integers(len(views)))
            try:
                partners = self._partners_of(scene, number)
                other = views[int(partners[host.integers(len(partners))])]
                pair = self._looked_at(views[number], other, size, host)
            except InputError as error:
                failure = error
                continue
            if (share := float(pair[3].mean())) > most:
                best, most = pair, share
            if most >= LEAST_SEEN:
                break
        if best is None:
            raise failure or InputError("no usable pair of views")
        return best

    def _looked_at(self, first: CameraView, second: CameraView, size: int, host: np.random.Generator):
        images = self._images[first.image], self._images[second.image]
        depths = self._depths[first.depth], self._depths[second.depth]
        square = random_square(images[0].shape, host)
        shares = square.places(size) / images[0].shape[1::-1]
        own = at(depths[0], shares)
        there, distance = reprojected(shares, own, first, second)
        known = (own > 0) & (distance > 0)
        inside = known & both((there >= 0) & (there < 1))
        side = np.array(images[1].shape[1::-1])
        centre = np.median(there[inside], axis=0) * side if inside.any() else side / 2
        target = square_around(centre, images[1].shape, host)
        flow = target.normalised(there * side)
        behind = at(depths[1], there)
        inside &= both(np.abs(flow) <= 1)
        seen = inside & (np.abs(behind - distance) <= OCCLUDED * behind) & steady((flow + 1) * (size / 2))
        flow = np.where(known[..., None], flow, 1e3).clip(-1e3, 1e3).astype(np.float32)
        return square.cut(images[0], size), target.cut(images[1], size), flow, seen, first.image.name

    def _partners_of(self, scene: int, number: int) -> np.ndarray:
        """Numbers of the views that overlap with one; the same whenever it is asked.

        Raises:
            InputError: its depth cannot be read, or nothing overlaps.
        """
        if (scene, number) not in self._partners:
            self._partners[scene, number] = self._chosen(self._scenes[scene], number)
        partners = self._partners[scene, number]
        if not len(partners):
            raise InputError("overlaps with no other view", path=self._scenes[scene][number].image)
        return partners

    def _chosen(self, views: Sequence[CameraView], number: int) -> np.ndarray:
        if isinstance(views, PublishedScene):
            return views.partners(number)
        view = views[number]
        line = (np.arange(LATTICE) + 0.5) / LATTICE
        shares = np.stack(np.meshgrid(line, line), -1)
        depth = at(self._depths[view.depth], shares)
        candidates = [n for n in range(0, len(views), -(-len(views) // MOST_CANDIDATES)) if n != number]
        overlaps = np.array([_overlap(shares, depth, view, views[n]) for n in candidates])
        fits = np.flatnonzero((overlaps >= OVERLAP[0]) & (overlaps <= OVERLAP[1]))
        if not len(fits) and overlaps.max(initial=0) > 0:
            fits = np.array([overlaps.argmax()])
        return np.array(candidates, int)[fits]


def _overlap(shares: np.ndarray, depth: np.ndarray, first: CameraView, second: CameraView) -> float:
    there, _ = reprojected(shares, depth, first, second)
    return float(((depth > 0) & both((there >= 0) & (there < 1))).mean())
