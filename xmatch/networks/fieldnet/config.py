"""Size of the network that draws fields: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldNetConfig:
    """Shape of a `FieldNet`."""

    channels: tuple[int, int, int, int] = (16, 32, 64, 64)
    """At strides of 1, 2, 4 and 8 cells."""
    blocks: tuple[int, int, int, int] = (1, 1, 2, 1)
    maps: int = 2
    """Drawn by the network; even."""

    def __post_init__(self) -> None:
        if self.maps < 2 or self.maps % 2:
            raise ValueError("maps must be even and at least 2")

    @property
    def orders(self) -> tuple[int, ...]:
        """By how many times the image's turn each pair of planes turns: the image's edges, how much there is of them,
        the maps, their edges."""
        return (2, 0, *[0] * (self.maps // 2), *[2] * self.maps)

    @property
    def planes(self) -> int:
        return 2 * len(self.orders)


SIZES = {"xmatch-fields": FieldNetConfig()}
"""Name -> shape."""
