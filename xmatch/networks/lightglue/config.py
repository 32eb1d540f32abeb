"""Sizes of LightGlue: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LightGlueConfig:
    input: int = 128
    """Length of the keypoints' descriptors."""
    width: int = 256
    """Channels inside."""
    layers: int = 9
    heads: int = 4
    keypoints: str | None = None
    """Name of the weights whose keypoints it was trained on, where somebody has said: a companion by itself."""

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError("width must be a multiple of twice the heads")
        if min(self.layers, self.input, self.heads) < 1:
            raise ValueError("want layers, input and heads of 1 at least")


SIZES = {
    "lightglue": LightGlueConfig(),
    "lightglue-superpoint": LightGlueConfig(input=256),
    "lighterglue": LightGlueConfig(input=64, width=96, layers=6, heads=1),
    "lightglue-small": LightGlueConfig(width=128, layers=3, heads=2),
}
"""Name -> shape: for DISK and ALIKED, for SuperPoint, for XFeat as its authors made it smaller, and for SIFT, DISK or
ALIKED one that two cores can train."""
