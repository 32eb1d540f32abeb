"""A tiny RoMa and its device, in numpy and pixels: what the matcher asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.correspondences import Correspondences
from xmatch.networks.balanced import drawn
from xmatch.networks.base import DenseWarp
from xmatch.networks.layers import channels_last
from xmatch.networks.roma.network import filled
from xmatch.networks.tiny_roma.network import MULTIPLE, Described, TinyRoma

MATCHES = 5000
"""Drawn of each pair, its authors' number."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What tiny RoMa knows of an image before it sees the other."""

    described: Described
    valid: Mask
    """Of the image as given."""


class TinyRomaRunner:
    """A `CorrespondenceNetwork`. Images keep their size but for what sides are beyond multiples of 32."""

    def __init__(self, network: TinyRoma, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device)).eval()

    @torch.inference_mode()
    def describe(self, image: Image, valid: Mask) -> Seen:
        """See `CorrespondenceNetwork`."""
        plane = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None].to(self.device)
        mask = torch.from_numpy(np.ascontiguousarray(valid))[None, None].to(self.device)
        return Seen(self.network.describe(snapped(filled(plane, mask)[:, :1])), valid)

    @torch.inference_mode()
    def match(self, fixed: Seen, moving: Seen) -> Correspondences:
        """See `CorrespondenceNetwork`; one way alone, as published."""
        _, found = self.network.match(fixed.described, moving.described)
        inside = (found.warp.abs() <= 1).all(-1)
        found = DenseWarp(4, found.warp, found.certainty.masked_fill(~inside, -torch.inf))
        return drawn(found, None, fixed.valid, moving.valid, MATCHES)


def snapped(image: Tensor) -> Tensor:
    """(B, C, H, W) stretched to sides that are multiples of 32, smaller ones where there are any."""
    sides = [max(MULTIPLE, side // MULTIPLE * MULTIPLE) for side in image.shape[2:]]
    return F.interpolate(image, sides, mode="bilinear", align_corners=False)
