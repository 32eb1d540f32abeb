"""Sizes of RoMa and how images are shown to it: plain numbers, so that a checkpoint can carry them as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STRIDES = (16, 8, 4, 2, 1)
"""Of the refiners, coarse to fine. The first is a name: it works on the cells of the image encoder, 14 px."""
Resize = Literal["bicubic", "bilinear"]


@dataclass(frozen=True)
class RomaConfig:
    """Tuples over strides of refiners run from coarse to fine, as `STRIDES`."""

    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Of the convolutional encoder (VGG19) at strides 1, 2, 4 and 8."""
    convolutions: tuple[int, int, int, int] = (2, 2, 4, 4)
    """At each of these strides."""
    backbone_width: int = 1024
    """Channels of the image encoder that the coarse features are from; its weights are not among RoMa's."""
    projected: tuple[int, int, int, int, int] = (512, 512, 256, 64, 9)
    """Channels that features are compared in."""
    posterior: int = 512
    """Channels of the Gaussian process' answer."""
    heads: int = 8
    """Of the transformer that decodes it; its width is `posterior` and the first of `projected`."""
    layers: int = 5
    anchors: int = 64
    """A side of the grid of places that it chooses from."""
    embedded: tuple[int, int, int, int, int] = (128, 64, 32, 16, 6)
    """Channels of a refiner's encoding of displacements."""
    radius: tuple[int, int, int, int, int] = (7, 3, 2, 0, 0)
    """Of the window of a refiner's local correlation, cells; 0: it has none."""
    hidden: int = 8
    """Further blocks of a refiner."""
    normalised: bool = True
    """Images are normalised by the statistics of ImageNet."""
    resize: Resize = "bicubic"
    coarse_px: int = 560
    """Side of the square images of the first pass, a multiple of 14 and 8."""
    fine_px: int = 864
    """Side of those of the second pass, which refines again from stride 8 on, a multiple of 8."""

    def __post_init__(self) -> None:
        if (self.posterior + self.projected[0]) % self.heads:
            raise ValueError("posterior and the first of projected together must be a multiple of the heads")
        if self.coarse_px % 56 or self.fine_px % 8 or min(self.coarse_px, self.fine_px) < 56:
            raise ValueError("coarse_px must be a multiple of 56, fine_px of 8, both 56 at least")
        if self.resize not in ("bicubic", "bilinear"):
            raise ValueError("resize must be bicubic or bilinear")

    def inputs(self, index: int) -> int:
        """Channels that enter the refiner `STRIDES[index]`."""
        window = (2 * self.radius[index] + 1) ** 2 if self.radius[index] else 0
        return 2 * self.projected[index] + self.embedded[index] + window


SIZES = {"roma": RomaConfig()}
"""Name -> shape; the published one."""
