"""Real images as stored scenes: what drawn sensors would show of them, made beside the training as worlds are.

`Singles` and `AlignedPairs` cut and draw while a batch waits; here that is done by whoever makes scenes, and a batch
is one look-up. An image with a real partner on its pixel grid has it among its sensors.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.modalities import load_modality, modality_names
from xmatch.synth.modalities.filters import gray
from xmatch.synth.seeds import device_rng, host_rng
from xmatch.synth.sources.aligned_pairs import find_pairs
from xmatch.synth.sources.crops import random_crop, to_tensor
from xmatch.synth.sources.files import decode, list_images
from xmatch.synth.sources.scenes import StoredScene, in_bytes
from xmatch.synth.sources.sensors import ANCHOR
from xmatch.synth.sources.worlds import SceneMaker, Worlds

ANCHORS = 3
"""So many sensors of a scene are `visible`, each with a tone of its own: most pairs then have one."""
DRAWN = 5
"""Other sensors of a scene, drawn from those that are wanted."""
PARTNER = 2
"""A real partner takes part so many times: as it is, and in another tone each further time."""


@dataclass(frozen=True)
class PictureJob:
    """All that says which scene it is."""

    files: tuple[str, ...]
    """The image, and its partner if it has one."""
    sensors: tuple[str, ...]
    """Their names."""
    drawn: tuple[str, ...]
    """Modalities that are drawn from."""
    side: int
    """Px."""
    seed: tuple[int, ...]

    def scene(self) -> StoredScene:
        """
        Raises:
            InputError: a file is not a usable image.
        """
        rng = device_rng("cpu", *self.seed)
        host = host_rng(rng)
        cuts = [to_tensor([one], torch.device("cpu")) for one in random_crop(self._images(), self.side, host)]
        image, partners = cuts[0], cuts[1:]
        names = [ANCHOR] * ANCHORS
        names += list(host.choice(self.drawn, min(DRAWN, len(self.drawn)), replace=False))
        planes = [_seen(name, image, rng) for name in names]
        for name, partner in zip(self.sensors[1:], partners, strict=True):
            planes += [gray(partner), *(_seen("curves", partner, rng) for _ in range(PARTNER - 1))]
            names += [name] * PARTNER
        return StoredScene(Path(self.files[0]).name, tuple(map(str, names)), in_bytes(torch.cat(planes, 1)[0]))

    def _images(self) -> list[np.ndarray]:
        return [decode(Path(path)) for path in self.files]


def _seen(name: str, image: Tensor, rng: torch.Generator) -> Tensor:
    return gray(load_modality(name)(image, rng))


class Pictures(Worlds):
    """Random places of real images, each seen by two sensors; see `Worlds` for the pool.

    Args:
        kinds: for each kind the sensors' names and the groups of files: one image, or two on one grid.
        drawn: modalities.
        pool, fresh, side, maker: as `Worlds`.
    """

    def __init__(
        self,
        kinds: Sequence[tuple[tuple[str, ...], Sequence[tuple[Path, ...]]]],
        drawn: Sequence[str],
        pool: int = 24,
        fresh: float = 1 / 3,
        side: int | None = None,
        maker: SceneMaker | None = None,
    ) -> None:
        super().__init__([name for names, _ in kinds for name in names], pool, fresh, side, maker)
        self._groups = [(names, list(files)) for names, files in kinds]
        weights = np.array([len(files) for _, files in self._groups], float)
        self._shares = weights / weights.sum()
        self._drawn = tuple(drawn)

    @classmethod
    def below(cls, folder: str | Path, drawn: Sequence[str] = (), **settings) -> Pictures:
        """The pairs of a folder, as `find_pairs`; where there are none, all images below it.

        Raises:
            InputError: no such folder, or no image in it.
        """
        pairs = find_pairs(folder, required=False) if Path(folder).is_dir() else {}
        kinds = [(names, files) for names, files in sorted(pairs.items())]
        if not kinds:
            kinds = [((ANCHOR,), [(path,) for path in list_images(folder)])]
        drawn = tuple(drawn) or tuple(name for name in modality_names() if name != ANCHOR)
        return cls(kinds, drawn, **settings)

    def _job(self, number: int) -> PictureJob:
        host = np.random.default_rng((*self._seed, number, zlib.crc32(b"pictures")))
        names, groups = self._groups[host.choice(len(self._groups), p=self._shares)]
        files = tuple(map(str, groups[host.integers(len(groups))]))
        return PictureJob(files, names, self._drawn, self._side, (*self._seed, number))
