"""How hard the pairs are: one dataclass that a curriculum moves from `EASY` to `FULL`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True)
class Difficulty:
    """Bounds of what is drawn for each pair.

    Raises:
        ValueError: a bound outside the range its field names.
    """

    gap: float = 1.0
    """Share of pairs with two different sensors, and how different they are, in [0, 1]; 0: one sensor, seen twice."""
    max_angle_deg: float = 60.0
    """Moving is turned against fixed by up to this much either way, in [0, 180]."""
    max_scale: float = 2.0
    """Moving's pixels are 1/this to this times as large as fixed's, log-uniformly; at least 1."""
    max_shift: float = 0.25
    """Of moving's centre along x and along y, share of fixed's side, in [0, 1]."""
    shear: float = 0.1
    """Largest shear along x and change of the aspect ratio, in [0, 0.5]."""
    perspective: float = 0.15
    """Largest change of the scale from the centre to a corner, in [0, 0.5]."""
    elastic: float = 0.03
    """Standard deviation of the bending of half of the pairs, share of the side, in [0, 0.06]: more would fold."""
    max_parallax_deg: float = 30.0
    """Two pinhole cameras look at one place from directions up to this much apart, in [0, 80]."""
    moved: float = 0.0
    """Share of pairs in which a part of what both show lies elsewhere in moving, in [0, 1]."""
    noise: float = 1.0
    """Blur, noise, lost resolution, stripes and patches, in [0, 1]."""

    EASY: ClassVar[Difficulty]
    """One sensor, seen twice with small motion: where training from scratch starts to learn."""
    FULL: ClassVar[Difficulty]
    """What real pairs need. Quarter turns are left to the search around the matcher."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, want {low} to {high}")


_RANGES = {
    "gap": (0, 1),
    "max_angle_deg": (0, 180),
    "max_scale": (1, 4),
    "max_shift": (0, 1),
    "shear": (0, 0.5),
    "perspective": (0, 0.5),
    "elastic": (0, 0.06),
    "max_parallax_deg": (0, 80),
    "moved": (0, 1),
    "noise": (0, 1),
}
"""Beyond these, pairs hardly overlap, or the inverse of a bent map is no longer found."""

Difficulty.EASY = Difficulty(
    gap=0.0,
    max_angle_deg=8.0,
    max_scale=1.1,
    max_shift=0.08,
    shear=0.02,
    perspective=0.0,
    elastic=0.0,
    max_parallax_deg=4.0,
    noise=0.0,
)
Difficulty.FULL = Difficulty()


def between(a: Difficulty, b: Difficulty, t: float) -> Difficulty:
    """The difficulty at `t` in [0, 1] on the way from `a` (0) to `b` (1), linear in every field; `t` is clipped."""
    t = min(1.0, max(0.0, t))
    ends = ((f.name, getattr(a, f.name), getattr(b, f.name)) for f in fields(Difficulty))
    # Rounding must not carry a value beyond both ends: 180 degrees are the most there are.
    return Difficulty(**{name: min(max((1 - t) * x + t * y, min(x, y)), max(x, y)) for name, x, y in ends})
