"""A RoMa and its device, in numpy and pixels: what the matcher asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.correspondences import Correspondences
from xmatch.networks.balanced import drawn
from xmatch.networks.layers import channels_last
from xmatch.networks.roma.inference import Seen, matched, seen
from xmatch.networks.roma.merged import merged
from xmatch.networks.roma.network import MULTIPLE, Roma, filled

MATCHES = 5000
"""Drawn of each pair, as MatchAnything does and RoMa's own benchmarks do."""


@dataclass(frozen=True, eq=False)
class Described:
    """What RoMa knows of an image before it sees the other."""

    seen: Seen
    valid: Mask
    """Of the image as given."""


LEAST_PX = 224
"""Side of the smallest square that is looked at."""


class RomaRunner:
    """A `CorrespondenceNetwork`. Images are stretched to squares, as its authors have it; where memory does not suffice
    for that, to smaller ones (`Thrifty`)."""

    def __init__(self, network: Roma, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self._coarse_px, self._fine_px = network.config.coarse_px, network.config.fine_px
        """Sides of both passes; 0: there is no second one."""
        self.network = channels_last(merged(network.eval()).to(self.device))
        if self.device.type == "cuda":
            self.network.see_in(torch.bfloat16)

    @torch.inference_mode()
    def describe(self, image: Image, valid: Mask) -> Described:
        """See `CorrespondenceNetwork`; an image may be (h, w, 3)."""
        plane = torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(self.device)
        planes = (plane[None] if plane.ndim == 2 else plane.permute(2, 0, 1))[None]
        whole = filled(planes, torch.from_numpy(np.ascontiguousarray(valid))[None, None].to(self.device))
        how = self.network.config.resize
        fine = stretched(whole, self._fine_px, how) if self._fine_px else None
        with self._precision():
            found = seen(self.network, stretched(whole, self._coarse_px, how), fine)
        return Described(found, valid)

    def with_less(self) -> str | None:
        """See `Thrifty`; what was described before is to be described again."""
        if self._fine_px:
            self._fine_px = 0
            return f"no second pass, so positions to {self._coarse_px} px a side"
        smaller = self._coarse_px // 2 // MULTIPLE * MULTIPLE
        if smaller < LEAST_PX:
            return None
        self._coarse_px = smaller
        return f"images seen in {smaller} x {smaller} px"

    @torch.inference_mode()
    def match(self, fixed: Described, moving: Described) -> Correspondences:
        """See `CorrespondenceNetwork`."""
        if not (fixed.valid.any() and moving.valid.any()):
            return Correspondences.empty()
        with self._precision():
            there, back = matched(self.network, fixed.seen, moving.seen)
        return drawn(there, back, fixed.valid, moving.valid, MATCHES)

    def _precision(self) -> torch.autocast:
        """Half of single on a GPU, as published; what needs more keeps it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def stretched(image: Tensor, side: int, how: str) -> Tensor:
    """(B, C, H, W) in [0, 1] as (B, C, side, side); shrunk by means, as PIL does."""
    resized = F.interpolate(image, (side, side), mode=how, align_corners=False, antialias=True)
    return resized.clamp(0, 1).contiguous(memory_format=torch.channels_last)
