"""Shards as a source: pairs made before, looked at from new sides."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from xmatch.coords import pixel_centres, to_normalised
from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.manifest import read_manifest
from xmatch.synth.samples import StoredPair
from xmatch.synth.seeds import host_rng
from xmatch.synth.shard_reader import ShardReader
from xmatch.synth.sources.aligned import Aligned
from xmatch.synth.sources.crops import to_tensor
from xmatch.synth.warps import centres


class Shards:
    """The pairs of a folder of shards, drawn evenly. Each comes with the warp that it was stored with.

    Args:
        folder: as `xmatch synth` writes it.

    Raises:
        InputError: no manifest, or no complete shard.
    """

    def __init__(self, folder: str | Path) -> None:
        manifest = read_manifest(folder)
        if manifest is None or not manifest.shards:
            raise InputError("no shards here", hint="make some with xmatch synth", path=folder)
        self._readers = [ShardReader(Path(folder) / shard.name) for shard in manifest.shards]
        self._ends = np.cumsum([len(reader) for reader in self._readers])

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        samples = [self._sample(int(n)) for n in host.integers(self._ends[-1], size=count)]
        same = host.random(count) >= difficulty.gap
        first = to_tensor([_fitted(s.fixed, size) for s in samples], rng.device)
        second = to_tensor([_fitted(s.moving, size) for s in samples], rng.device)
        masks = [np.stack([_fitted_mask(m, size) for m in kind]) for kind in zip(*map(_masks, samples), strict=True)]
        fixed_valid, moving_valid, covisible = (torch.from_numpy(mask).to(rng.device) for mask in masks)
        flow = torch.from_numpy(np.stack([_flow(s, size) for s in samples])).to(rng.device)
        names = [tuple(s.facts["modalities"]) for s in samples]
        for number in np.flatnonzero(same):
            # One sensor seen twice: the fixed image stands for both.
            second[number], moving_valid[number] = first[number].mean(0, keepdim=True), fixed_valid[number]
            flow[number], covisible[number] = centres(size, rng.device)[0].permute(1, 2, 0), fixed_valid[number]
            names[number] = (names[number][0],) * 2
        return Aligned(
            first,
            second,
            fixed_valid[:, None],
            moving_valid[:, None],
            tuple(names),
            tuple(s.facts["origin"] for s in samples),
            flow,
            covisible,
        )

    def _sample(self, number: int) -> StoredPair:
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return self._readers[shard][number - (int(self._ends[shard - 1]) if shard else 0)]


def _masks(sample: StoredPair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return sample.fixed_valid, sample.moving_valid, sample.covisible


def _fitted(image: np.ndarray, size: int) -> np.ndarray:
    how = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=how)


def _fitted_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A px holds where all that it covers does."""
    return _fitted(mask.astype(np.uint8) * 255, size) == 255


def _flow(sample: StoredPair, size: int) -> np.ndarray:
    height, width = sample.moving.shape[:2]
    places = to_normalised(sample.moving_xy, width, height).astype(np.float32)
    # As an offset: enlarging repeats the border, and the positions have to go on there.
    own = to_normalised(pixel_centres(*sample.fixed.shape[1::-1]), sample.fixed.shape[1], sample.fixed.shape[0])
    offset = cv2.resize((places - own).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return (offset + to_normalised(pixel_centres(size, size), size, size)).astype(np.float32)
