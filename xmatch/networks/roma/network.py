"""RoMa under its published names: two images in, warp and certainty at every scale out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.dinov2.config import PATCH_PX
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.grids import numbers
from xmatch.networks.roma.coarse import AnchorDecoder, PositionPosterior, decoded
from xmatch.networks.roma.config import STRIDES, RomaConfig
from xmatch.networks.roma.encoder import Encoder
from xmatch.networks.roma.refiner import Refiner

MULTIPLE = 56
"""Sides of images must be multiples of this: of the image encoder's patches and of stride 8."""
TRAINED_PX = 560.0
"""Side of the images of training, by which displacements are scaled."""
STEP = 4
"""Refiners speak of fourths of a px, times their stride."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours."""


@dataclass(frozen=True, eq=False)
class Described:
    """A batch of images after the encoders."""

    features: dict[int, Tensor]
    """Stride, as in `STRIDES` -> (B, C, h, w), in the channels that are compared."""
    shape: tuple[int, int]
    """(height, width) px."""

    def __len__(self) -> int:
        return len(self.features[1])


class _Backbone:
    """Holds a network that belongs to no other: copies share it, and it is neither trained nor stored with them."""

    network: Dino | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Backbone:
        return self


class Decoder(nn.Module):
    """Holds what decides, under its published names."""

    def __init__(self, config: RomaConfig) -> None:
        super().__init__()
        self.embedding_decoder = AnchorDecoder(config)
        self.gps = nn.ModuleDict({"16": PositionPosterior(config.posterior)})
        inputs = (config.backbone_width, *reversed(config.channels))
        self.proj = nn.ModuleDict(
            {
                str(stride): nn.Sequential(nn.Conv2d(c, out, 1), nn.BatchNorm2d(out))
                for stride, c, out in zip(STRIDES, inputs, config.projected, strict=True)
            }
        )
        self.conv_refiner = nn.ModuleDict(
            {
                str(stride): Refiner(config.inputs(i), config.embedded[i], config.radius[i], config.hidden)
                for i, stride in enumerate(STRIDES)
            }
        )


class Roma(nn.Module):
    """Its image encoder is a network of its own, which has to be given (`see_with`) before images are described.

    Attributes:
        saves_memory: in training, what is inside of encoder and refiners is computed again for the gradient, not kept.
    """

    def __init__(self, config: RomaConfig) -> None:
        super().__init__()
        self.config = config
        self.saves_memory = True
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self._backbone = _Backbone()

    def see_with(self, backbone: Dino) -> None:
        """Take DINOv2 for the coarse features; it stays as it is."""
        for parameter in backbone.parameters():
            parameter.requires_grad_(False)
        self._backbone.network = backbone.to(next(self.parameters()).device).eval()

    def see_in(self, precision: torch.dtype) -> None:
        """Have the image encoder compute in another precision: half of it is half of the memory."""
        if self._backbone.network is not None:
            self._backbone.network.to(precision)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Roma:
        if self._backbone.network is not None:  # it goes to whatever device the network goes to
            self._backbone.network._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def describe(self, image: Tensor, *, coarse: bool = True, features: Tensor | None = None) -> Described:
        """
        Args:
            image: (B, 3, H, W) in [0, 1]; sides multiples of 56, or of 8 without the coarse features.
            coarse: with the features of the image encoder.
            features: (B, C, H / 14, W / 14) of the image encoder, where it has looked already.

        Raises:
            ValueError: other sides, or there is no image encoder.
        """
        height, width = image.shape[2:]
        multiple = MULTIPLE if coarse else 8
        if height % multiple or width % multiple:
            raise ValueError(f"sides must be multiples of {multiple}, not {(height, width)}")
        if self.config.normalised:
            mean, deviation = (numbers(values, image).view(3, 1, 1) for values in (MEAN, DEVIATION))
            image = (image - mean) / deviation
        found = self._kept_small(self.encoder.cnn, image)
        if coarse:
            found[16] = self._looked(image) if features is None else features
        compared = {stride: self.decoder.proj[str(stride)](x) for stride, x in found.items()}
        return Described(compared, (height, width))

    @torch.no_grad()
    def _looked(self, image: Tensor) -> Tensor:
        if self._backbone.network is None:
            raise ValueError("RoMa has no image encoder yet")
        found: Tensor = self._backbone.network(image)
        return found

    def globally(self, fixed: Described, moving: Described) -> tuple[DenseWarp, Tensor]:
        """The coarse answer, and (B, h, w, anchors^2) logits of the anchors that it was chosen from."""
        a, b = fixed.features[16], moving.features[16]
        posterior = self.decoder.gps["16"](a, b)
        logits, certainty = self.decoder.embedding_decoder(posterior.to(a.dtype), a)
        return DenseWarp(PATCH_PX, decoded(logits), certainty), logits

    def refine(
        self, fixed: Described, moving: Described, start: DenseWarp, *, first: int = 16, finest: int = 1
    ) -> Prediction:
        """A warp refined from stride `first` down to `finest`. `scores` of the result is empty.

        Args:
            start: from anywhere, of any size.
        """
        height, width = fixed.shape
        # As its authors have it, sides count as the geometric mean.
        scale = (height * width) ** 0.5 / TRAINED_PX
        scales, guesses = [start], []
        warp, certainty = start.warp, start.certainty
        for stride in STRIDES:
            if not finest <= stride <= first:
                continue
            a, b = fixed.features[stride], moving.features[stride]
            warp, certainty = _resized(warp, certainty, (a.shape[2], a.shape[3]))
            if stride != first:
                warp, certainty = warp.detach(), certainty.detach()
            guesses.append(warp)
            steps, surer = self._kept_small(self.decoder.conv_refiner[str(stride)], a, b, warp, scale)
            warp = warp + stride * steps / (STEP * numbers([width, height], steps))
            certainty = certainty + surer
            scales.append(DenseWarp(PATCH_PX if stride == 16 else stride, warp, certainty))
        return Prediction(tuple(scales), start.warp.new_zeros(0), tuple(guesses))

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor, *, finest: int = 1
    ) -> Prediction:
        """Match two batches of images of one size in one pass, as in training.

        Args:
            fixed: (B, 1 or 3, H, W) in [0, 1]; sides multiples of 56.
            fixed_valid: (B, 1, H, W) bool: pixels that show something; the others are grey to it.
            moving, moving_valid: the same for the other image.
            finest: stride of the last refinement.

        Returns:
            All scales; `scores` are the (B, h, w, anchors^2) logits of the coarse one.
        """
        both = torch.cat([filled(fixed, fixed_valid), filled(moving, moving_valid)])
        a, b = halves(self.describe(both))
        start, logits = self.globally(a, b)
        refined = self.refine(a, b, start, finest=finest)
        return Prediction(refined.scales, logits, refined.guesses)

    def _kept_small(self, part: nn.Module, *values: Any) -> Any:
        if self.training and self.saves_memory and torch.is_grad_enabled():
            contexts = partial(_first_and_again, part)
            return checkpoint(part, *values, use_reentrant=False, context_fn=contexts)
        return part(*values)


def _first_and_again(part: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_held(part)


@contextmanager
def _statistics_held(part: nn.Module) -> Iterator[None]:
    """Computed again, a batch does not count again."""
    layers = [layer for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def filled(image: Tensor, valid: Tensor) -> Tensor:
    """(B, 3, H, W) of (B, 1 or 3, H, W): what is not valid in the mean of the rest, by channel."""
    mask = valid.to(image.dtype)
    mean = (image * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(valid, image, mean).expand(-1, 3, -1, -1)


def halves(both: Described) -> tuple[Described, Described]:
    """The first and the second half of a batch."""
    pairs = {stride: x.chunk(2) for stride, x in both.features.items()}
    first, second = (Described({s: x[i] for s, x in pairs.items()}, both.shape) for i in (0, 1))
    return first, second


def joined(first: Described, second: Described) -> Described:
    """Both as one batch."""
    return Described({s: torch.cat([x, second.features[s]]) for s, x in first.features.items()}, first.shape)


def attenuated(certainty: Tensor, coarse: Tensor) -> Tensor:
    """(B, h, w) logits with half of what the coarse ones (B, h', w') say against a match taken back, as its authors do
    at inference."""
    low = F.interpolate(coarse[:, None], certainty.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    return certainty - 0.5 * low.clamp(max=0)


def _resized(warp: Tensor, certainty: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    if warp.shape[1:3] == shape:
        return warp, certainty
    both = torch.cat([warp.permute(0, 3, 1, 2), certainty[:, None]], 1)
    both = F.interpolate(both, shape, mode="bilinear", align_corners=False)
    return both[:, :2].permute(0, 2, 3, 1), both[:, 2]
