"""Fields of structure that a trained `FieldNet` draws, as the search wants them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from xmatch.matchers.search.descriptors import Structure
from xmatch.networks.fieldnet.cells import STRIDE
from xmatch.networks.fieldnet.network import MULTIPLE, FieldNet


class Drawn:
    """`FieldNet` in evaluation mode on one device."""

    stride = STRIDE

    def __init__(self, model: FieldNet, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, valid: np.ndarray) -> Structure:
        """Fields of an image (h, w) float32 where `valid` (h, w) bool; (ceil(h / 3), ceil(w / 3)) cells."""
        # The search and the judge describe images side by side, one a thread: each computes on its own alone.
        torch.set_num_threads(1)
        height, width = image.shape
        pad = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        there, shown = (
            F.pad(torch.from_numpy(np.ascontiguousarray(x))[None, None].to(self.device), pad)
            for x in (image.astype(np.float32, copy=False), valid.astype(bool, copy=False))
        )
        planes, cover = self.model(there, shown)
        rows, columns = -(-height // STRIDE), -(-width // STRIDE)
        fields = planes[0, :, :rows, :columns].permute(1, 2, 0).float().cpu().numpy()
        return Structure(
            np.ascontiguousarray(fields), cover[0, 0, :rows, :columns].cpu().numpy(), self.model.config.orders
        )
