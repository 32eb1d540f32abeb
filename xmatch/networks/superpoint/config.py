"""Sizes of SuperPoint: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SuperPointConfig:
    channels: tuple[int, int, int, int] = (64, 64, 128, 128)
    """At strides 1, 2, 4 and 8."""
    hidden: int = 256
    """Of either head."""
    descriptor: int = 256
    """Length of descriptors."""

    def __post_init__(self) -> None:
        if min(*self.channels, self.hidden, self.descriptor) < 1:
            raise ValueError("want channels, hidden and descriptor of 1 at least")
