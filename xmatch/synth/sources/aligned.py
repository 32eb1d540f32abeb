"""What a source gives: two images of one scene, and where the px of the first lie in the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.modalities.filters import gray
from xmatch.synth.seeds import uploaded
from xmatch.synth.warps import centres


@dataclass(frozen=True, eq=False)
class Aligned:
    """B scenes, each seen by two sensors. Positions are normalised, `align_corners=False`."""

    first: Tensor
    """(B, C, H, W) float32 in [0, 1], C = 1 or 3."""
    second: Tensor
    """(B, C, H, W); may have another number of channels."""
    first_valid: Tensor
    """(B, 1, H, W) bool."""
    second_valid: Tensor
    """(B, 1, H, W) bool."""
    names: tuple[tuple[str, str], ...]
    """Sensors of the first and the second image of every scene."""
    origins: tuple[str, ...]
    """What every scene was made from: a file, below the folder it was found in, or the name of a world."""
    flow: Tensor | None = None
    """(B, H, W, 2) position in `second` of every px of `first`, finite everywhere; None: the same position."""
    covisible: Tensor | None = None
    """(B, H, W) bool: px of `first` whose flow is to be believed; None: all of them."""
    moves: np.ndarray | None = None
    """(B,) bool: scenes whose flow is not the identity; None: all of them, where there is a flow."""

    @property
    def has_flow(self) -> np.ndarray:
        """(B,) bool: scenes whose flow is not the identity."""
        return np.full(len(self.first), self.flow is not None) if self.moves is None else self.moves


class PairSource(Protocol):
    def draw(self, count: int, size: int, rng: torch.Generator, difficulty: Difficulty) -> Aligned:
        """`count` scenes of `size` x `size` px on the generator's device.

        Args:
            size: a multiple of 8.
            difficulty: `gap` says how often the sensors differ, and how much. Geometry is not the source's business,
                unless it has several views of a scene.
        """


def everywhere(image: Tensor) -> Tensor:
    """(B, 1, H, W) bool: all px of the (B, C, H, W) images are valid."""
    return torch.ones((len(image), 1, *image.shape[-2:]), dtype=torch.bool, device=image.device)


def joined(parts: list[Aligned], order: np.ndarray) -> Aligned:
    """Parts as one batch; the i-th scene of all parts goes to place order[i], so that no place belongs to a part."""
    if len(parts) == 1:
        return parts[0]
    back = np.argsort(order)

    def in_order(columns: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(columns))[uploaded(back, columns[0].device, torch.int64)]

    def images(name: str) -> Tensor:
        columns = [getattr(part, name) for part in parts]
        channels = max(column.shape[1] for column in columns)
        return in_order([with_channels(column, channels) for column in columns])

    names, origins = ([x for part in parts for x in getattr(part, name)] for name in ("names", "origins"))
    with_flow = any(part.flow is not None for part in parts)
    return Aligned(
        images("first"),
        images("second"),
        in_order([part.first_valid for part in parts]),
        in_order([part.second_valid for part in parts]),
        tuple(names[i] for i in back),
        tuple(origins[i] for i in back),
        in_order([_flow(part) for part in parts]) if with_flow else None,
        in_order([_covisible(part) for part in parts]) if any(part.covisible is not None for part in parts) else None,
        np.concatenate([part.has_flow for part in parts])[back],
    )


def _flow(aligned: Aligned) -> Tensor:
    if aligned.flow is not None:
        return aligned.flow
    still = centres(aligned.first.shape[-1], aligned.first.device).permute(0, 2, 3, 1)
    return still.expand(len(aligned.first), -1, -1, -1)


def _covisible(aligned: Aligned) -> Tensor:
    return everywhere(aligned.first)[:, 0] if aligned.covisible is None else aligned.covisible


def with_channels(image: Tensor, channels: int) -> Tensor:
    """(B, channels, H, W) of (B, 1 or 3, H, W): luma, or grey repeated."""
    if image.shape[1] == channels:
        return image
    return gray(image) if channels == 1 else image.expand(-1, channels, -1, -1)
