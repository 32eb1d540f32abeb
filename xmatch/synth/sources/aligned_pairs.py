"""Real pairs: two sensors on the same pixel grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from xmatch.errors import InputError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.seeds import host_rng
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.sources.crops import random_crop, to_tensor
from xmatch.synth.sources.files import SUFFIXES, Images
from xmatch.synth.sources.sensors import NamePair

FilePair = tuple[Path, Path]

SMALL_KIND_FAVOUR = 0.5
"""Kinds are drawn by the number of their pairs to this power: evenly would show seven pairs as often as 300."""


class AlignedPairs:
    """Random cut-outs of pairs of files, one kind of pair as likely as its share allows.

    Args:
        kinds: names of the two sensors -> files of the first and the second.
        images: reads and holds the files.

    Raises:
        InputError: no pair.
    """

    def __init__(self, kinds: Mapping[NamePair, Sequence[FilePair]], images: Images | None = None) -> None:
        self._kinds = [(names, list(files)) for names, files in sorted(kinds.items()) if files]
        if not self._kinds:
            raise InputError("no aligned pairs", hint="wanted: <modality>/NAME_a.* and NAME_b.*, or pairs.jsonl")
        weights = np.array([len(files) for _, files in self._kinds], float) ** SMALL_KIND_FAVOUR
        self._shares = weights / weights.sum()
        self._images = images or Images()

    @classmethod
    def below(cls, folder: str | Path, images: Images | None = None) -> AlignedPairs:
        """Pairs of a folder: those of its `pairs.jsonl` if there is one, else <modality>/NAME_a.* and NAME_b.*."""
        return cls(find_pairs(folder), images)

    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        host = host_rng(rng)
        sides: tuple[list, list] = ([], [])
        names, origins = [], []
        for _ in range(count):
            pair, files = self._kinds[host.choice(len(self._kinds), p=self._shares)]
            paths, images = self._images.pick(files, host)
            crops = random_crop(_on_one_grid(images), size, host)
            order = [0, 1] if host.random() < 0.5 else [1, 0]
            if host.random() >= difficulty.gap:
                order[1] = order[0]
            for side, number in zip(sides, order, strict=True):
                side.append(crops[number])
            names.append((pair[order[0]], pair[order[1]]))
            origins.append(paths[0].name)
        first, second = (to_tensor(side, rng.device) for side in sides)
        return Aligned(first, second, everywhere(first), everywhere(second), tuple(names), tuple(origins))


def find_pairs(folder: str | Path, required: bool = True) -> dict[NamePair, list[FilePair]]:
    """Names of the two sensors -> files of the pairs of a folder.

    Raises:
        InputError: no such folder; or no pair in it, where one is `required`.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError("is not a folder" if root.exists() else "no such folder", path=root)
    manifest = root / "pairs.jsonl"
    kinds = listed_pairs(manifest) if manifest.is_file() else folder_pairs(root)
    if required and not kinds:
        raise InputError("no aligned pairs here", hint="wanted: <modality>/NAME_a.* and NAME_b.*", path=root)
    return kinds


def folder_pairs(folder: Path) -> dict[NamePair, list[FilePair]]:
    """<folder>/<modality>/NAME_a.* with NAME_b.*; "optical-sar" names both sensors, "sar" pairs with "visible"."""
    kinds: dict[NamePair, list[FilePair]] = {}
    for below in sorted(path for path in folder.glob("*") if path.is_dir()):
        seconds = {path.stem[:-2]: path for path in below.iterdir() if path.stem.endswith("_b") and _is_image(path)}
        pairs = [
            (path, seconds[path.stem[:-2]])
            for path in sorted(below.iterdir())
            if path.stem.endswith("_a") and _is_image(path) and path.stem[:-2] in seconds
        ]
        if pairs:
            kinds.setdefault(_names(below.name), []).extend(pairs)
    return kinds


def listed_pairs(manifest: Path) -> dict[NamePair, list[FilePair]]:
    """A file with a JSON object a line: `fixed`, `moving` (paths relative to it), `modality` ("optical-sar").

    Raises:
        InputError: a line is not such an object, or its truth says that the pair is not aligned.
    """
    kinds: dict[NamePair, list[FilePair]] = {}
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            files = tuple(manifest.parent / str(row[key]) for key in ("fixed", "moving"))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"line {number}: not an object with fixed and moving", path=manifest) from None
        truth = row.get("moving_to_fixed")
        if truth is not None and not np.allclose(truth, np.eye(3), atol=1e-6):
            raise InputError(f"line {number}: the pair is not pixel-aligned", hint="resample it first", path=manifest)
        kinds.setdefault(_names(str(row.get("modality", "unknown"))), []).append(files)  # type: ignore[arg-type]
    return kinds


def _names(kind: str) -> NamePair:
    first, _, second = kind.partition("-")
    return (first, second) if second else ("visible", first)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _on_one_grid(images: list[np.ndarray]) -> list[np.ndarray]:
    if images[0].shape[:2] != images[1].shape[:2]:
        raise InputError(f"sizes differ: {images[0].shape[:2]} and {images[1].shape[:2]}", hint="align the pairs first")
    return images
