"""Maps applied one after another, for what a single 3x3 matrix or control lattice cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xmatch.geometry.linear import Linear

_STIFF_TO_FREE = ("translation", "similarity", "affine", "homography", "tps", "grid")


@dataclass(frozen=True, eq=False)
class Chain:
    """`steps[-1](... steps[0](xy))`."""

    steps: tuple
    """Transforms, the first one to be applied first."""
    matrix: None = field(default=None, init=False)

    @property
    def kind(self) -> str:
        """The freest kind among the steps."""
        return max((step.kind for step in self.steps), key=_STIFF_TO_FREE.index)

    @property
    def inverse(self) -> Chain:
        return Chain(tuple(step.inverse for step in reversed(self.steps)))

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        for step in self.steps:
            xy = step(xy)
        return xy

    def as_dict(self) -> dict[str, Any]:
        raise TypeError("write the steps of a chain, each by itself")


def compose(*steps):
    """The map that applies `steps` in order: one `Linear` when all of them are, else a `Chain`."""
    if all(isinstance(step, Linear) for step in steps):
        first, *others = steps
        for step in others:
            first = step.after(first)
        return first
    return Chain(steps)


def rescaled(transform, from_size: tuple[int, int], to_size: tuple[int, int]):
    """`transform` for a moving image of another pixel size that shows the same footprint.

    Args:
        transform: moving px -> fixed px, found with a moving image of `from_size`.
        from_size: (width, height) px of that image.
        to_size: (width, height) px of the other one, such as a band of half the resolution.

    Corner-counted pixels make this a pure multiplication.
    """
    ratio_x, ratio_y = from_size[0] / to_size[0], from_size[1] / to_size[1]
    if ratio_x == ratio_y == 1:
        return transform
    scale = Linear(np.diag([ratio_x, ratio_y, 1.0]), "similarity" if ratio_x == ratio_y else "affine")
    return compose(scale, transform)
