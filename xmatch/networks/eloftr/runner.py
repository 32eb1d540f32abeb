"""An Efficient LoFTR and its device, in numpy and pixels: what the matcher asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.correspondences import Correspondences
from xmatch.networks.cell_masks import off_border, on_valid_pixels, padded
from xmatch.networks.cell_matching import dual_softmax_matches
from xmatch.networks.eloftr.network import AGGREGATED, MULTIPLE, EfficientLoftr, Pyramid
from xmatch.networks.eloftr.refinement import refined
from xmatch.networks.layers import channels_last

TEMPERATURE = 0.1
"""Of the softmax over cells, as published weights were trained with."""


@dataclass(frozen=True, eq=False)
class Described:
    """What Efficient LoFTR knows of an image before it sees the other."""

    pyramid: Pyramid
    cells: Tensor
    """(h, w) bool, see `PaddedImage`."""
    usable: Tensor
    """(h/4 * w/4,) bool: tokens of attention that show something."""
    valid: Mask
    """Of the image as given."""


class EloftrRunner:
    """A `CorrespondenceNetwork`. Positions are corner-counted as they come (see `xmatch.networks.cell_masks`)."""

    def __init__(self, network: EfficientLoftr, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device)).eval()
        self._backbone = channels_last(self.network.backbone.merged())

    @torch.inference_mode()
    def describe(self, image: Image, valid: Mask) -> Described:
        """See `CorrespondenceNetwork`."""
        seen = padded(image, valid, MULTIPLE, self.device)
        shown = F.avg_pool2d(seen.cells.float()[None], AGGREGATED).flatten() >= 0.5
        # Small islands alone are better looked at than nothing, which has no answer.
        usable = shown if shown.any() else torch.ones_like(shown)
        return Described(self._backbone(seen.image), seen.cells, usable, valid)

    @torch.inference_mode()
    def match(self, fixed: Described, moving: Described) -> Correspondences:
        """See `CorrespondenceNetwork`."""
        network = self.network
        here, there = network.loftr_coarse(fixed.pyramid.eighth, moving.pyramid.eighth, fixed.usable, moving.usable)
        rows, columns, sure = dual_softmax_matches(
            here[0], there[0], fixed.cells, moving.cells, TEMPERATURE, network.config.threshold
        )
        kept = off_border(fixed.cells).flatten()[rows] & off_border(moving.cells).flatten()[columns]
        rows, columns, sure = rows[kept], columns[kept], sure[kept]
        if not len(sure):
            return Correspondences.empty()
        scale = here.shape[1] ** 0.5
        pixels = network.fine_preprocess(fixed.pyramid, here / scale)[0]
        partners = network.fine_preprocess(moving.pyramid, there / scale)[0]
        fixed_xy, moving_xy = refined(pixels, partners, rows, columns)
        return on_valid_pixels(fixed_xy, moving_xy, sure, fixed.valid, moving.valid)
