"""Single images: one photograph, both sensors made from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.crops import random_crop, to_tensor
from xmatch.synth.sources.files import ImagePart, Images
from xmatch.synth.sources.sensors import Sensors


class Singles:
    """Random square cut-outs of single images, each seen by two sensors.

    Args:
        paths: the images, or windows of them.
        sensors: which sensors see them.
        images: reads and holds the files; may be shared between sources.

    Raises:
        InputError: no path.
    """

    def __init__(self, paths: Sequence[ImagePart], sensors: Sensors, images: Images | None = None) -> None:
        if not paths:
            raise InputError("no images", hint="name a folder of images")
        self._files = [(path,) for path in paths]
        self._sensors = sensors
        self._images = images or Images()

    @classmethod
    def below(cls, folder: str | Path, sensors: Sensors, images: Images | None = None) -> Singles:
        """All images below a folder."""
        images = images or Images()
        return cls(images.listed(folder), sensors, images)

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        crops, origins = [], []
        for _ in range(count):
            (path,), images = self._images.pick(self._files, host)
            crops += random_crop(images, size, host)
            origins.append(path.name)
        base = to_tensor(crops, rng.device)
        first, second, names = self._sensors.see(base, rng, host, difficulty.gap)
        valid = everywhere(base)
        return Aligned(first, second, valid, valid, names, tuple(origins))
