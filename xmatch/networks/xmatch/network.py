"""XMatch: two images of any kind of sensor in, warp and certainty at every scale out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import doubled
from xmatch.networks.xmatch.attention import PairAttention
from xmatch.networks.xmatch.config import XMatchConfig
from xmatch.networks.xmatch.encoder import Encoder, Features
from xmatch.networks.xmatch.global_matching import Coarse, Descriptors
from xmatch.networks.xmatch.refiner import Refiner

MULTIPLE = 16
"""Sides of images must be multiples of this; pad with pixels that are not valid."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One batch of images after the encoder."""

    sixteenth: Tensor
    eighth: Tensor
    features: Features
    valid: Tensor
    """(B, 1, H, W) bool."""

    def seen(self, stride: int) -> Tensor:
        """(B, cells) bool: at least half of the cell has content; all cells where there is none at all."""
        cells = F.avg_pool2d(self.valid.float(), stride).flatten(1) >= 0.5
        return cells | ~cells.any(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Attended:
    """A pair after both images have looked at each other."""

    fixed: Tensor
    """(B, C, H/8, W/8) descriptors."""
    moving: Tensor
    scores: Tensor
    """(B, N, M) log dual softmax."""


class XMatch(nn.Module):
    """Shared encoder, attention at stride 16, global matching at stride 8, refiners at 8, 4, 2 and 1."""

    def __init__(self, config: XMatchConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.attention = PairAttention(config.channels[3], config.heads, config.attention_layers)
        self.descriptors = Descriptors(config.channels[3], config.channels[2], config.coarse_channels)
        self.coarse = Coarse(config.coarse_channels)
        per_stride = (config.refine_channels, config.refine_hidden, config.refine_blocks, config.radius)
        self.refiners = nn.ModuleDict(
            {str(s): Refiner(*sizes) for s, *sizes in zip(config.refine_strides, *per_stride, strict=True)}
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def encode(self, image: Tensor, valid: Tensor, *, finest: int = 1) -> Encoded:
        """Args: image (B, 1, H, W) of any range, valid (B, 1, H, W) bool; `finest` stride that will be asked for.

        Raises:
            ValueError: sides that are not multiples of 16.
        """
        if image.shape[2] % MULTIPLE or image.shape[3] % MULTIPLE:
            raise ValueError(f"sides must be multiples of {MULTIPLE}, not {tuple(image.shape[2:])}")
        sixteenth, eighth, features = self.encoder(image, valid, finest=finest)
        return Encoded(sixteenth, eighth, features, valid)

    def attend(self, fixed: Encoded, moving: Encoded) -> Attended:
        a, b = self.attention(fixed.sixteenth, moving.sixteenth, fixed.seen(16), moving.seen(16))
        a, b = self.descriptors(a, fixed.eighth), self.descriptors(b, moving.eighth)
        return Attended(a, b, self.coarse.scores(a, b, fixed.seen(8), moving.seen(8)))

    def globally(self, pair: Attended) -> DenseWarp:
        """The coarse answer alone: what hypotheses are compared by."""
        warp, certainty = self.coarse(pair.scores, pair.fixed, pair.moving.shape[2:])
        return DenseWarp(8, warp, certainty)

    def refine(self, fixed: Encoded, moving: Encoded, start: DenseWarp, *, finest: int = 1) -> Prediction:
        """`start` (stride 8, from anywhere) refined down to `finest`. `scores` of the result is empty."""
        scales, guesses = [start], []
        warp, certainty = start.warp.detach(), start.certainty.detach()
        for stride in self.config.refine_strides:
            if stride < finest:
                break
            if stride < 8:
                warp = doubled(warp.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
                certainty = F.interpolate(certainty[:, None], scale_factor=2, mode="bilinear", align_corners=False)[
                    :, 0
                ]
            guesses.append(warp)
            new = self.refiners[str(stride)](fixed.features[stride], moving.features[stride], warp, certainty)
            scales.append(DenseWarp(stride, new[0], new[1]))
            warp, certainty = (value.detach() for value in new)
        return Prediction(tuple(scales), start.warp.new_zeros(0), tuple(guesses))

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor, *, finest: int = 1
    ) -> Prediction:
        """Match two batches of images.

        Args:
            fixed: (B, 1, H, W), any range; sides multiples of 16.
            fixed_valid: (B, 1, H, W) bool: pixels that show something.
            moving, moving_valid: the same for the other image; its sides may differ.
            finest: stride of the last refinement.
        """
        if fixed.shape == moving.shape:  # one pass over both is quicker
            both = self.encode(torch.cat([fixed, moving]), torch.cat([fixed_valid, moving_valid]), finest=finest)
            a, b = halves(both)
        else:
            a, b = (self.encode(x, v, finest=finest) for x, v in ((fixed, fixed_valid), (moving, moving_valid)))
        pair = self.attend(a, b)
        refined = self.refine(a, b, self.globally(pair), finest=finest)
        return Prediction(refined.scales, pair.scores, refined.guesses, self._local_scores(a, b))

    def _local_scores(self, fixed: Encoded, moving: Encoded) -> Tensor | None:
        if not self.training:
            return None
        a, b = self.descriptors.lateral(fixed.eighth), self.descriptors.lateral(moving.eighth)
        return self.coarse.scores(a, b, fixed.seen(8), moving.seen(8))


def halves(both: Encoded) -> tuple[Encoded, Encoded]:
    """The first and the second half of a batch."""
    sixteenth, eighth, valid = (x.chunk(2) for x in (both.sixteenth, both.eighth, both.valid))
    features = {stride: x.chunk(2) for stride, x in both.features.items()}
    first, second = (Encoded(sixteenth[i], eighth[i], {s: x[i] for s, x in features.items()}, valid[i]) for i in (0, 1))
    return first, second
