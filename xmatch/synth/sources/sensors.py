"""Which two sensors see a scene, and making one image look as they see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.modalities import Modality, load_modality
from xmatch.synth.modalities.filters import gray

ANCHOR = "visible"

NamePair = tuple[str, str]


class Sensors:
    """Pairs of sensors, drawn evenly, and their generators.

    Args:
        names: modalities (`xmatch.synth.modalities`).
        across: every two of them make a pair; otherwise each pairs with `visible`, as in MINIMA (Ren et al. 2025).
        loaded: generators of names that `load_modality` does not know, such as learned ones.

    Raises:
        UsageError: an unknown modality.
        ValueError: no name.
    """

    def __init__(
        self, names: Sequence[str], across: bool = False, loaded: Mapping[str, Modality] | None = None
    ) -> None:
        self.pairs = name_pairs(names, across)
        known = loaded or {}
        self._modalities = {name: known.get(name) or load_modality(name) for pair in self.pairs for name in pair}

    def see(
        self, image: Tensor, rng: torch.Generator, host: np.random.Generator, gap: float
    ) -> tuple[Tensor, Tensor, tuple[NamePair, ...]]:
        """One scene through two sensors each.

        Args:
            image: (B, C, H, W), C = 1 or 3.
            gap: share of scenes whose sensors differ, and how far the second is from the first, in [0, 1].

        Returns:
            Two images of (B, 1 or 3, H, W) and the sensors' names.
        """
        names, same = draw_names(self.pairs, len(image), host, gap)
        first, second = self._render([image, image], names, rng, skip=same)
        second = _picked(same, first, second)
        if gap == 1 or same.all():
            return first, second, names
        # On the way to full difficulty the second sensor is a blend with the first.
        share = torch.as_tensor(1 - (1 - gap) * host.random(len(image)), dtype=image.dtype, device=image.device)
        return first, torch.lerp(*_alike(first, second), share[:, None, None, None]), names

    def see_views(
        self, first: Tensor, second: Tensor, rng: torch.Generator, host: np.random.Generator, gap: float
    ) -> tuple[Tensor, Tensor, tuple[NamePair, ...]]:
        """As `see`, for two views of each scene; the sensors differ or not, there is nothing in between."""
        names, _ = draw_names(self.pairs, len(first), host, gap)
        first, second = self._render([first, second], names, rng, skip=np.zeros(len(first), bool))
        return first, second, names

    def _render(
        self, images: list[Tensor], names: tuple[NamePair, ...], rng: torch.Generator, skip: np.ndarray
    ) -> list[Tensor]:
        """Both sides, every generator called once; second images of scenes in `skip`, (B,) bool, stay undone."""
        wanted: dict[str, list[tuple[int, int]]] = {}
        for number, pair in enumerate(names):
            for side in (0,) if skip[number] else (0, 1):
                wanted.setdefault(pair[side], []).append((side, number))
        batch = len(names)
        stack = images[0] if images[0] is images[1] else torch.cat(images)
        offset = 0 if images[0] is images[1] else batch
        rendered = {}
        for name in sorted(wanted):
            rows = torch.tensor([side * offset + number for side, number in wanted[name]], device=stack.device)
            rendered[name] = self._modalities[name](stack.index_select(0, rows), rng)
        sides = [images[0].new_zeros((batch, _channels(rendered), *images[0].shape[-2:])) for _ in images]
        for name, places in wanted.items():
            for row, (side, number) in enumerate(places):
                sides[side][number] = rendered[name][row]
        return sides


def name_pairs(names: Sequence[str], across: bool) -> tuple[NamePair, ...]:
    """Unordered pairs of sensors that are wanted; see `Sensors`."""
    names = tuple(dict.fromkeys(names))
    if not names:
        raise ValueError("no modality")
    if not across:
        return tuple((ANCHOR, name) for name in names)
    return tuple(combinations(names, 2)) or ((names[0], names[0]),)


def draw_names(
    pairs: Sequence[NamePair], count: int, host: np.random.Generator, gap: float
) -> tuple[tuple[NamePair, ...], np.ndarray]:
    """B pairs drawn evenly, in either order, and (B,) bool: one sensor stands for both, for want of `gap`."""
    same = host.random(count) >= gap
    drawn = []
    for number, single in zip(host.integers(len(pairs), size=count), same, strict=True):
        pair = pairs[number] if host.random() < 0.5 else pairs[number][::-1]
        drawn.append((pair[0], pair[0]) if single else pair)
    return tuple(drawn), same


def _channels(rendered: dict[str, Tensor]) -> int:
    return max(image.shape[1] for image in rendered.values())


def _alike(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both with as many channels as the one with fewer."""
    if first.shape[1] == second.shape[1]:
        return first, second
    return gray(first), gray(second)


def _picked(first_too: np.ndarray, first: Tensor, second: Tensor) -> Tensor:
    """`first` where `first_too`, (B,) bool, else `second`."""
    if not first_too.any():
        return second
    mask = torch.as_tensor(first_too, device=first.device)[:, None, None, None]
    return torch.where(mask, *_alike(first, second))
