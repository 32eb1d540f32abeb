"""Sizes of the sparse matcher: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from xmatch.networks.lightglue.config import LightGlueConfig

DESCRIPTOR = 64
"""Length of XFeat's descriptors."""


@dataclass(frozen=True)
class SparseConfig:
    points: int = 256
    """Keypoints an image in training."""
    width: int = 96
    """Of LightGlue, as all that follows."""
    layers: int = 6
    heads: int = 1

    def __post_init__(self) -> None:
        self.glue  # noqa: B018  # checks the rest
        if self.points < 8:
            raise ValueError("want points >= 8")

    @property
    def glue(self) -> LightGlueConfig:
        return LightGlueConfig(DESCRIPTOR, self.width, self.layers, self.heads)


SIZES = {"xmatch-sparse": SparseConfig()}
"""Name -> shape; that of the published XFeat + LighterGlue."""
