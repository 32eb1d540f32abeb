"""Tiny RoMa under its published names: two images in, warp and certainty at strides 8 and 4 out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.feature import XFeatModel
from kornia.feature.xfeat import BasicLayer
from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.grids import cell_centres, numbers
from xmatch.networks.roma.network import filled
from xmatch.networks.tiny_roma.config import TinyRomaConfig

MULTIPLE = 32
"""Sides of images must be multiples of this."""
COARSE_CHANNELS, FINE_CHANNELS = 64, 24
"""Of XFeat's features at strides 8 and 4."""
THINNED = 4
"""In evaluation places are a mean over every so many cells a side, and the likeliest one."""


@dataclass(frozen=True, eq=False)
class Described:
    """A batch of images after the backbone."""

    coarse: Tensor
    """(B, 64, H / 8, W / 8)."""
    fine: Tensor
    """(B, 24, H / 4, W / 4)."""
    shape: tuple[int, int]
    """(height, width) px."""


class TinyRoma(nn.Module):
    def __init__(self, config: TinyRomaConfig) -> None:
        super().__init__()
        self.config = config
        backbone = XFeatModel()
        del backbone.heatmap_head, backbone.keypoint_head, backbone.fine_matcher
        self.xfeat = nn.ModuleList([backbone])
        self.coarse_matcher = _matcher(2 * COARSE_CHANNELS + 2, config.coarse)
        self.fine_matcher = _matcher(2 * FINE_CHANNELS + 2, config.fine)

    def describe(self, image: Tensor) -> Described:
        """
        Args:
            image: (B, C, H, W) of any range; sides multiples of 32.

        Raises:
            ValueError: other sides.
        """
        if image.shape[2] % MULTIPLE or image.shape[3] % MULTIPLE:
            raise ValueError(f"sides must be multiples of {MULTIPLE}, not {tuple(image.shape[2:])}")
        backbone = self.xfeat[0]
        assert isinstance(backbone, XFeatModel)
        grey = backbone.norm(image.mean(1, keepdim=True))
        fine = backbone.block2(backbone.block1(grey) + backbone.skip1(grey))
        eighth = backbone.block3(fine)
        sixteenth = backbone.block4(eighth)
        deeper = (sixteenth, backbone.block5(sixteenth))
        size = eighth.shape[2:]
        for one in deeper:
            eighth = eighth + F.interpolate(one, size, mode="bilinear", align_corners=False)
        return Described(backbone.block_fusion(eighth), fine, (image.shape[2], image.shape[3]))

    def match(self, fixed: Described, moving: Described) -> tuple[DenseWarp, DenseWarp]:
        """Where each cell of fixed lies in moving, at strides 8 and 4."""
        height, width = moving.shape
        px = numbers([2 / width, 2 / height, 1.0], fixed.coarse)
        places = self._places(fixed.coarse, moving.coarse)
        start = torch.cat([places, torch.zeros_like(places[:, :1])], 1)
        eighth = start + self._step(self.coarse_matcher, fixed.coarse, moving.coarse, places) * px.view(3, 1, 1)
        size = fixed.fine.shape[2:]
        guess = F.interpolate(eighth, size, mode="bilinear", align_corners=False).detach()
        quarter = guess + self._step(self.fine_matcher, fixed.fine, moving.fine, guess[:, :2]) * px.view(3, 1, 1)
        return _dense(8, eighth), _dense(4, quarter)

    def forward(
        self, fixed: Tensor, fixed_valid: Tensor, moving: Tensor, moving_valid: Tensor, *, finest: int = 1
    ) -> Prediction:
        """Match two batches of images of one size, as in training; `scores` and `guesses` are empty.

        Args:
            fixed: (B, 1 or 3, H, W); sides multiples of 32.
            fixed_valid: (B, 1, H, W) bool: pixels that show something; the others are grey to it.
            moving, moving_valid: the same for the other image.
            finest: of no consequence; it has two scales.
        """
        both = self.describe(torch.cat([filled(fixed, fixed_valid), filled(moving, moving_valid)]))
        coarse, fine = both.coarse.chunk(2), both.fine.chunk(2)
        scales = self.match(*(Described(coarse[i], fine[i], both.shape) for i in (0, 1)))
        return Prediction(scales, coarse[0].new_zeros(0), ())

    def _step(self, matcher: nn.Module, fixed: Tensor, moving: Tensor, places: Tensor) -> Tensor:
        """(B, 3, h, w) px and logits to be added to (B, 2, h, w) places."""
        # Positions need single precision whatever the features are in.
        laid = F.grid_sample(moving.float(), places.permute(0, 2, 3, 1), align_corners=False).to(moving.dtype)
        step: Tensor = matcher(torch.cat([fixed, laid, places], 1))
        return step.float()

    def _places(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """(B, 2, h, w) the mean place of moving's cells, each weighted by how alike it is."""
        with torch.autocast(fixed.device.type, enabled=False):
            return self._mean_places(fixed.float(), moving.float())

    def _mean_places(self, fixed: Tensor, moving: Tensor) -> Tensor:
        rows, columns = moving.shape[2:]
        alike = moving.flatten(2).transpose(1, 2) @ fixed.flatten(2) / fixed.shape[1] ** 0.5
        grid = cell_centres(rows, columns, fixed)
        if self.training:
            places = alike.softmax(1).transpose(1, 2) @ grid.flatten(0, 1)
        else:
            # As its authors do it: every fourth cell a side, and the best one, by a slip of theirs weighed by its
            # number and not its likeness. So the best one alone counts, but for the first rows.
            some = alike.view(len(alike), rows, columns, -1)[:, ::THINNED, ::THINNED].flatten(1, 2)
            best = alike.argmax(1, keepdim=True)
            share = torch.cat([some, best.to(some.dtype)], 1).softmax(1).transpose(1, 2)
            thin = cell_centres(rows // THINNED, columns // THINNED, fixed).flatten(0, 1)
            places = share[..., :-1] @ thin + share[..., -1:] * grid.flatten(0, 1)[best[:, 0]]
        found: Tensor = places.transpose(1, 2).reshape(len(places), 2, fixed.shape[2], fixed.shape[3])
        return found


def _matcher(inputs: int, width: int) -> nn.Sequential:
    layers = [BasicLayer(inputs if number == 0 else width, width) for number in range(4)]
    return nn.Sequential(*layers, nn.Conv2d(width, 3, 1))


def _dense(stride: int, found: Tensor) -> DenseWarp:
    return DenseWarp(stride, found[:, :2].permute(0, 2, 3, 1), found[:, 2])
