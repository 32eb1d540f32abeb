"""Descriptors that a trained `FieldNet` draws, as the search wants them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import Image, Mask
from xmatch.matchers.search.descriptors import DescriptorMap
from xmatch.matchers.search.on_device.descriptors import DescriptorMaps
from xmatch.networks.fieldnet.cells import STRIDE
from xmatch.networks.fieldnet.network import MULTIPLE, FieldNet
from xmatch.ops.frames import Frames, uploaded
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

    def many(self, frames: Frames, image: Tensor, valid: Tensor) -> DescriptorMaps:
        """Descriptors of images (N, H, W) in frames, those of a size together: what lies beyond one's own border is not
        all the same to a network. For a search on the network's device."""
        multiples = -(-frames.sizes // MULTIPLE) * MULTIPLE
        rows, columns = (-(-n // STRIDE) for n in frames.shape)
        planes = image.new_zeros(len(image), 2 * len(self.model.config.orders), rows, columns)
        cover = image.new_zeros(len(image), rows, columns)
        for height, width in np.unique(multiples, axis=0).tolist():
            those = uploaded(np.flatnonzero((multiples == (height, width)).all(axis=1)), image.device)
            rest = (0, max(0, width - frames.shape[1]), 0, max(0, height - frames.shape[0]))
            padded, shown = (F.pad(plane[those], rest)[:, None, :height, :width] for plane in (image, valid))
            drawn, covered = self.model(padded, shown)
            # Beyond the image there is nothing, and so there is beyond the frame.
            down, across = min(rows, height // STRIDE), min(columns, width // STRIDE)
            planes[those, :, :down, :across] = drawn[:, :, :down, :across].float()
            cover[those, :down, :across] = covered[:, 0, :down, :across].float()
        return DescriptorMaps(planes, cover, -(-frames.sizes // STRIDE), self.model.config.orders)
