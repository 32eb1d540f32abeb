"""What a source gives: two images of one scene, and where the px of the first lie in the second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from xmatch.synth.difficulty import Difficulty


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
