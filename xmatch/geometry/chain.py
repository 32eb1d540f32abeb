"""Maps applied one after another, for what a single 3x3 matrix or control lattice cannot hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from xmatch.coords import AnyArray, Mask
from xmatch.geometry.linear import Linear

_STIFF_TO_FREE = ("translation", "similarity", "affine", "homography", "tps", "grid")


class Step(Protocol):
    """What of a `Transform` a chain leans on."""

    @property
    def kind(self) -> str: ...

    @property
    def inverse(self) -> Step: ...

    def __call__(self, xy: AnyArray) -> AnyArray: ...

    def supported(self, xy: AnyArray) -> Mask: ...


AnyStep = TypeVar("AnyStep", bound=Step)


@dataclass(frozen=True, eq=False)
class Chain:
    """`steps[-1](... steps[0](xy))`."""

    steps: tuple[Step, ...]
    """Transforms, the first one to be applied first."""
    matrix: None = field(default=None, init=False)

    @property
    def kind(self) -> str:
        """The freest kind among the steps."""
        return max((step.kind for step in self.steps), key=_STIFF_TO_FREE.index)

    @property
    def inverse(self) -> Chain:
        return Chain(tuple(step.inverse for step in reversed(self.steps)))

    def __call__(self, xy: AnyArray) -> AnyArray:
        for step in self.steps:
            xy = step(xy)
        return xy

    def supported(self, xy: AnyArray) -> Mask:
        """(N,) bool: in every step."""
        held = np.ones(np.shape(xy)[:-1], bool)
        for step in self.steps:
            held &= step.supported(xy)
            xy = step(xy)
        return held

    def as_dict(self) -> dict[str, Any]:
        raise TypeError("write the steps of a chain, each by itself")


def compose(*steps: Step) -> Linear | Chain:
    """The map that applies `steps` in order: one `Linear` when all of them are, else a `Chain`."""
    composed: Linear | None = None
    for step in steps:
        if not isinstance(step, Linear):
            return Chain(steps)
        composed = step if composed is None else step.after(composed)
    if composed is None:
        raise ValueError("nothing to compose")
    return composed


def rescaled(transform: AnyStep, from_size: tuple[int, int], to_size: tuple[int, int]) -> AnyStep | Linear | Chain:
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
