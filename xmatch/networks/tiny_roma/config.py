"""Sizes of tiny RoMa: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TinyRomaConfig:
    """Its backbone comes in one size."""

    coarse: int = 256
    """Channels of the matcher at stride 8."""
    fine: int = 64
    """Of that at stride 4."""

    def __post_init__(self) -> None:
        if min(self.coarse, self.fine) < 1:
            raise ValueError("want coarse and fine of 1 at least")


SIZES = {"tiny-roma": TinyRomaConfig()}
"""Name -> shape; the published one."""
