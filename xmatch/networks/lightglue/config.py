"""Sizes of the sparse matcher: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SparseConfig:
    points: int = 512
    """Corners an image."""
    channels: tuple[int, ...] = (32, 64, 96)
    """Of the describing network at strides 1, 2 and 4."""
    descriptor: int = 128
    layers: int = 6
    """Of LightGlue."""
    heads: int = 4

    def __post_init__(self) -> None:
        if self.descriptor % (2 * self.heads):
            raise ValueError("descriptor must be a multiple of twice the heads")
        if self.points < 8 or self.layers < 1:
            raise ValueError("want points >= 8 and layers >= 1")


SIZES = {"lightglue-small": SparseConfig(), "lightglue-base": SparseConfig(1024, (48, 96, 192), 256, 9, 4)}
"""Name -> shape; the second has the layers and heads of the published LightGlue."""
