"""Descriptors that a trained `FieldNet` draws, as the search wants them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.matchers.search.descriptors import DescriptorMap
from xmatch.networks.fieldnet.cells import STRIDE
from xmatch.networks.fieldnet.network import MULTIPLE, FieldNet
from xmatch.ops.threads import torch_threads


class LearnedDescriptor:
    """`FieldNet` in evaluation mode on one device."""

    stride = STRIDE

    def __init__(self, model: FieldNet, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image, valid: Mask) -> DescriptorMap:
        """Descriptors of an image (h, w) float32 where `valid` (h, w) bool; (ceil(h / 3), ceil(w / 3)) cells."""
        height, width = image.shape
        pad = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        padded, shown = (
            F.pad(torch.from_numpy(np.ascontiguousarray(plane))[None, None].to(self.device), pad)
            for plane in (image.astype(np.float32, copy=False), valid.astype(bool, copy=False))
        )
        # The search and the judge describe images side by side, one a thread: each computes on its own alone.
        with torch_threads(1):
            planes, cover = self.model(padded, shown)
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        cells = planes[0, :, :rows, :columns].permute(1, 2, 0).float().cpu().numpy()
        return DescriptorMap(
            np.ascontiguousarray(cells), cover[0, 0, :rows, :columns].cpu().numpy(), self.model.config.orders
        )
