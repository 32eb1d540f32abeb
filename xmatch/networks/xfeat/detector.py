"""XFeat's keypoints and descriptors. The network is kornia's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.networks.base import Keypoints
from xmatch.networks.grids import numbers
from xmatch.networks.keypoints import MOST, filled, inner, kept

MULTIPLE = 32
"""Of px, that the network wants sides to be."""
WINDOW_PX = 5
"""Side of the window in which a keypoint is the strongest, its authors'."""
CELL_PX = 8


@dataclass(frozen=True, eq=False)
class Detected:
    """Keypoints of a batch, strongest first."""

    xy: Tensor
    """(B, N, 2) px, whole numbers, centre-counted."""
    score: Tensor
    """(B, N) heat times reliability; 0 for those that stand in where an image has too few."""
    descriptors: Tensor
    """(B, N, 64) of length 1."""


@dataclass(frozen=True, eq=False)
class Dense:
    """What keypoints are described by; the gradient reaches it."""

    features: Tensor
    """(B, 64, H / 8, W / 8) of length 1."""
    size: tuple[int, int]
    """H, W."""

    def described(self, xy: Tensor) -> Tensor:
        """(B, N, 64) of length 1 at positions (B, N, 2) px, centre-counted."""
        height, width = self.size
        # As XFeat's authors normalise positions: by the distance of the outermost centres.
        at = 2 * (xy / numbers([width - 1, height - 1], xy)) - 1
        found = F.grid_sample(self.features, at[:, :, None], mode="bicubic", align_corners=False)
        return F.normalize(found[..., 0].transpose(1, 2), dim=-1)


def detect(network: nn.Module, image: Tensor, usable: Tensor, count: int) -> tuple[Detected, Dense]:
    """The strongest keypoints of images, as XFeat's authors find them, and what they are described by.

    Args:
        network: kornia's `XFeatModel`.
        image: (B, 1, H, W), H and W multiples of `MULTIPLE`.
        usable: (B, 1, H, W) bool: where keypoints may lie.
        count: keypoints an image. Their authors want a heat of 0.05 too, which leaves images of other sensors hardly
            any.
    """
    features, logits, reliability = network(image)
    height, width = image.shape[-2:]
    with torch.no_grad():
        heat = F.pixel_shuffle(logits.softmax(1)[:, :-1], CELL_PX)
        peak = heat == F.max_pool2d(heat, WINDOW_PX, 1, WINDOW_PX // 2)
        good = peak & usable
        at = _sampling_grid(height, width, image.device)
        sure = F.grid_sample(reliability, at.expand(len(image), -1, -1, -1), align_corners=False)
        score, index = torch.where(good, heat * sure, 0.0).flatten(1).topk(min(count, height * width))
        xy = torch.stack([index % width, index // width], -1).to(image.dtype)
    dense = Dense(F.normalize(features, dim=1), (height, width))
    return Detected(xy, score, dense.described(xy)), dense


def _sampling_grid(height: int, width: int, device: torch.device) -> Tensor:
    """(1, H, W, 2) of every px, as XFeat's authors normalise positions: by the distance of the outermost centres."""
    x, y = (torch.linspace(-1, 1, side, device=device) for side in (width, height))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]


class XFeatDetector:
    """A trained XFeat behind the protocol of all detectors."""

    name = "xfeat"

    def __init__(self, network: nn.Module, device: str) -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """See `Detector`."""
        grey = filled(image, valid, MULTIPLE, self._device)
        usable = torch.zeros(grey.shape, dtype=torch.bool, device=self._device)
        usable[..., : image.shape[0], : image.shape[1]] = torch.from_numpy(inner(valid))
        found, _ = detect(self._network, grey, usable, MOST)
        real = found.score[0] > 0
        return kept(found.xy[0, real].double().cpu().numpy(), found.descriptors[0, real].float(), valid)
