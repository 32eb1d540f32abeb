"""Sizes of the matcher: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class XMatchConfig:
    """Shape of an `XMatch`. Tuples over strides run from fine to coarse unless said otherwise."""

    channels: tuple[int, int, int, int] = (16, 48, 96, 192)
    """Of the encoder at strides 2, 4, 8, 16."""
    blocks: tuple[int, int, int, int] = (0, 1, 2, 1)
    """Residual blocks of two 3 x 3 convolutions at each of these strides."""
    attention_layers: int = 3
    """Pairs of one self- and one cross-attention layer at stride 16."""
    heads: int = 4
    coarse_channels: int = 128
    """Of the descriptors that are compared all with all at stride 8."""
    refine_strides: tuple[int, ...] = (8, 4, 2, 1)
    """Coarse to fine; a shorter tuple ends earlier."""
    refine_channels: tuple[int, ...] = (64, 48, 24, 12)
    """Of the features that each refiner compares, in the order of `refine_strides`."""
    refine_hidden: tuple[int, ...] = (80, 48, 32, 16)
    refine_blocks: tuple[int, ...] = (2, 2, 2, 2)
    radius: tuple[int, ...] = (3, 2, 2, 1)
    """Of the local correlation windows, in cells of each refiner's stride."""

    def __post_init__(self) -> None:
        per_stride = (self.refine_channels, self.refine_hidden, self.refine_blocks, self.radius)
        if self.refine_strides != (8, 4, 2, 1)[: len(self.refine_strides)] or not self.refine_strides:
            raise ValueError("refine_strides must be 8, 4, 2, 1 or the beginning of it")
        if any(len(values) != len(self.refine_strides) for values in per_stride):
            raise ValueError("every refine_* tuple and radius need one number a stride in refine_strides")
        # Rotary positions turn pairs of channels, half of them by x and half by y.
        if self.channels[3] % (4 * self.heads):
            raise ValueError("the channels at stride 16 must be a multiple of four times the heads")


SIZES: dict[str, XMatchConfig] = {
    "xmatch-small": XMatchConfig(),
    "xmatch-base": XMatchConfig(
        channels=(64, 128, 256, 512),
        blocks=(2, 3, 4, 4),
        attention_layers=8,
        heads=8,
        coarse_channels=256,
        refine_channels=(256, 128, 64, 24),
        refine_hidden=(256, 160, 80, 32),
        refine_blocks=(6, 6, 4, 3),
        radius=(4, 3, 2, 2),
    ),
}
"""Name -> shape. The first is trained and shipped, the second is for those who have a large GPU and large data."""
