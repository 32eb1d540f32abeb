"""Sizes of ALIKED: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AlikedConfig:
    model: str = "aliked-n16"
    """As its authors and kornia call the size."""
    first_channels: int = 16
    """Of the first block."""
    places: int = 16
    """That a descriptor is gathered from."""


SIZES = {
    "aliked-n16": AlikedConfig(),
    "aliked-t16": AlikedConfig("aliked-t16", 8),
    "aliked-n32": AlikedConfig("aliked-n32", 16, 32),
}
"""Name -> shape; aliked-n16rot has that of the first."""
