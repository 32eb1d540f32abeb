"""Sizes of Efficient LoFTR: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EloftrConfig:
    block_dims: tuple[int, int, int] = (64, 128, 256)
    """Channels at strides 2, 4 and 8."""
    blocks: tuple[int, int, int] = (2, 4, 14)
    """RepVGG blocks at these strides, after the first of all."""
    heads: int = 8
    layers: int = 4
    """Pairs of one self- and one cross-attention layer at stride 8."""
    threshold: float = 0.2
    """Product of both probabilities that a match of cells exceeds, as the authors have it."""

    def __post_init__(self) -> None:
        if self.block_dims[2] % self.heads or self.block_dims[2] % 4:
            raise ValueError("the last of block_dims must be a multiple of heads and of 4")
        if self.block_dims[0] <= FINEST_CHANNELS:
            raise ValueError(f"the first of block_dims must be above {FINEST_CHANNELS}")


FINEST_CHANNELS = 8
"""Of the fine features, those that tell the place within a pixel; the others tell the pixel."""

SIZES = {"eloftr": EloftrConfig()}
"""Name -> shape: the published one."""
