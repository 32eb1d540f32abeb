"""matcha-small: MATCHA's fusion where a small encoder of our own stands for Stable Diffusion and DINOv2."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.layers import Residual, conv
from xmatch.networks.matcha.config import MatchaSmallConfig, Task
from xmatch.networks.matcha.fusion import Fused, Fusion, joint, merged, resized, unified


class SmallFeatures(NamedTuple):
    """What matcha-small makes of images."""

    fused: Fused
    low: Tensor
    """(B, 64, h, w) the encoder's at 1/8."""
    high: Tensor
    """(B, 128, h / 2, w / 2) at 1/16, before it is fused: the third feature, in DINOv2's place."""

    def of_task(self, task: Task | None = None) -> Tensor:
        """(B, C, h, w) of length 1: the unified feature or, of a task, the one that MATCHA-Light has for it."""
        if task is None:
            return unified(self.fused, self.high)
        if task == "temporal":
            return joint(self.fused)
        return merged(self.fused.geometric if task == "geometric" else self.fused.semantic)


class MatchaSmall(nn.Module):
    """Grey images to features at 1/8."""

    def __init__(self, config: MatchaSmallConfig = MatchaSmallConfig()) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = config.channels
        self.to_low = nn.Sequential(
            *_stage(1, half, 1), *_stage(half, quarter, 1), *_stage(quarter, eighth, 2), nn.Conv2d(eighth, eighth, 1)
        )
        self.to_high = nn.Sequential(*_stage(eighth, sixteenth, 2), nn.Conv2d(sixteenth, sixteenth, 1))
        self.fusion = Fusion(config.fusion())

    def forward(self, images: Tensor) -> SmallFeatures:
        """
        Args:
            images: (B, 1, H, W) in [0, 1], H and W multiples of 16 px.
        """
        mean = images.mean((2, 3), keepdim=True)
        spread = (images - mean).square().mean((2, 3), keepdim=True).sqrt()
        low = self.to_low((images - mean) / (spread + 0.05))
        high = self.to_high(low)
        return SmallFeatures(self.fusion(high, low), low, high)


class SmallFeature:
    """`xmatch.networks.matcha.features.Feature` of matcha-small, or of a part of it.

    Args:
        name: of `SMALL_VARIANTS`.
    """

    def __init__(self, network: MatchaSmall, name: str = "matcha-small") -> None:
        self._network, self.name = network.eval(), name

    @torch.inference_mode()
    def __call__(self, images: Tensor, task: Task) -> Tensor:
        """Of the mean of red, green and blue."""
        return SMALL_VARIANTS[self.name](self._network(images.mean(1, keepdim=True)), task)


SMALL_VARIANTS: dict[str, Callable[[SmallFeatures, Task], Tensor]] = {
    # For geometry the part that was taught it, which finds more; else the whole.
    "matcha-small": lambda found, task: found.of_task("geometric" if task == "geometric" else None),
    "matcha-small-light": lambda found, task: found.of_task(task),
    "matcha-small-unfused": lambda found, task: merged(found.low, resized(found.high, found.low.shape[-2:])),
}
"""Name in `SMALL_NAMES` -> what is compared."""


def _stage(inputs: int, outputs: int, blocks: int) -> list[nn.Module]:
    return [conv(inputs, outputs, stride=2), nn.ReLU(), *(Residual(outputs) for _ in range(blocks))]


def cells_at(features: Tensor, places: Tensor) -> Tensor:
    """(N, C) of length 1: a feature (C, h, w) between its cells, at (N, 2) cells (x, y), corner-counted."""
    height, width = features.shape[1:]
    at = places * (2.0 / places.new_tensor([width, height])) - 1.0
    found = F.grid_sample(features[None], at[None, None], align_corners=False, padding_mode="border")
    return F.normalize(found[0, :, 0].T, dim=1)
