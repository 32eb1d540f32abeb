"""A LoFTR and its device, in numpy and pixels: what the matcher asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.coords import Image, Mask
from xmatch.correspondences import Correspondences
from xmatch.networks.cell_masks import CELL_PX, at_cells, off_border, on_valid_pixels, padded
from xmatch.networks.layers import channels_last
from xmatch.networks.loftr.network import TrainedLoftr


@dataclass(frozen=True, eq=False)
class Described:
    """What LoFTR knows of an image before it sees the other."""

    features: dict[str, Tensor]
    """As kornia's `extract_features` gives them."""
    cells: Tensor
    """(h, w) bool, see `PaddedImage`."""
    valid: Mask
    """Of the image as given."""


class LoftrRunner:
    """A `CorrespondenceNetwork`. Positions are corner-counted as they come (see `xmatch.networks.cell_masks`)."""

    def __init__(self, network: TrainedLoftr, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device)).eval()

    @torch.inference_mode()
    def describe(self, image: Image, valid: Mask) -> Described:
        """See `CorrespondenceNetwork`."""
        seen = padded(image, valid, CELL_PX, self.device)
        return Described(self.network.extract_features(seen.image), seen.cells, valid)

    @torch.inference_mode()
    def match(self, fixed: Described, moving: Described) -> Correspondences:
        """See `CorrespondenceNetwork`."""
        data: dict[str, object] = {"features0": fixed.features, "features1": moving.features}
        for name, cells in (("mask0", fixed.cells), ("mask1", moving.cells)):
            if not cells.all():  # a mask of the size of the similarities is dear
                # kornia wants a mask of pixels, and looks at every eighth.
                data[name] = cells.repeat_interleave(CELL_PX, 0).repeat_interleave(CELL_PX, 1)[None]
        found = self.network(data)
        here, there = found["keypoints0"], found["keypoints1"]
        kept = at_cells(off_border(fixed.cells), here) & at_cells(off_border(moving.cells), there)
        return on_valid_pixels(here[kept], there[kept], found["confidence"][kept], fixed.valid, moving.valid)
