"""Sizes of DINOv2: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass

PATCH_PX = 14


@dataclass(frozen=True)
class DinoConfig:
    width: int = 1024
    """Channels."""
    depth: int = 24
    heads: int = 16
    side: int = 37
    """Patches a side of the square images whose positions were learned."""

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.heads, self.side) < 1 or self.width % self.heads:
            raise ValueError("want sizes of 1 at least, and a width that is a multiple of the heads")


SIZES = {
    "dinov2-vitl14": DinoConfig(),
    "dinov2-vitb14": DinoConfig(width=768, depth=12, heads=12),
    "dinov2-vits14": DinoConfig(width=384, depth=12, heads=6),
}
"""Name -> shape. RoMa was trained with the first."""
