"""Sizes of XoFTR: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class XoftrConfig:
    block_dims: tuple[int, int, int] = (128, 196, 256)
    """Channels at strides 2, 4 and 8."""
    heads: tuple[int, int, int] = (8, 7, 8)
    """Of attention at these strides."""
    layers: int = 4
    """Pairs of one self- and one cross-attention layer at stride 8."""
    threshold: float = 0.3
    """Probability that a match of cells exceeds one way or the other, as the authors have it."""
    fine_threshold: float = 0.1
    """Product of both probabilities that a match within two windows exceeds, as the authors have it."""

    def __post_init__(self) -> None:
        if any(dim % heads for dim, heads in zip(self.block_dims, self.heads, strict=True)) or self.block_dims[2] % 4:
            raise ValueError("block_dims must be multiples of heads, and the last of 4")


SIZES = {"xoftr": XoftrConfig()}
"""Name -> shape: the published one."""
