"""Scenes of MegaDepth as they are published: views, and which of them make pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import overload

import numpy as np

from xmatch.datasets.megadepth import TrainingScene, read_training
from xmatch.errors import InputError
from xmatch.synth.sources.cameras import CameraView, depth_shape


class PublishedScene(Sequence[CameraView]):
    """The views that a list of pairs names, each made when it is asked for: a list names thousands of files, and how
    large an image is stands in its depth map.

    Args:
        scene: with one pair at least.
    """

    def __init__(self, scene: TrainingScene) -> None:
        self._scene = scene
        self._numbers = sorted(scene.images)
        place = {number: i for i, number in enumerate(self._numbers)}
        found: dict[int, list[int]] = {}
        for pair in scene.pairs:
            for one, other in (pair, pair[::-1]):
                found.setdefault(place[one], []).append(place[other])
        self._partners = {one: np.array(sorted(set(others))) for one, others in found.items()}

    def partners(self, number: int) -> np.ndarray:
        """(N,) numbers of the views that the list pairs with a view."""
        return self._partners[number]

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, number: int) -> CameraView: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[CameraView]: ...
    def __getitem__(self, number: int | slice) -> CameraView | Sequence[CameraView]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        own = self._numbers[number]
        height, width = _shape(self._scene.depths[own])
        in_shares = np.diag([1 / width, 1 / height, 1.0]) @ self._scene.intrinsics[own]
        pose = np.linalg.inv(self._scene.world_to_camera[own])
        return CameraView(self._scene.images[own], self._scene.depths[own], in_shares, pose)


def published_scenes(folder: Path) -> list[PublishedScene]:
    """
    Raises:
        InputError: no lists for training there, or none with a pair.
    """
    scenes = [PublishedScene(scene) for scene in read_training(folder) if scene.pairs]
    if not scenes:
        raise InputError("no pairs in the lists there", path=folder)
    return scenes


_shape = lru_cache(maxsize=2**16)(depth_shape)
