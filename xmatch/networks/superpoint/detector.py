"""SuperPoint behind the protocol of all detectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xmatch.coords import Image, Mask
from xmatch.networks.base import Keypoints
from xmatch.networks.keypoints import MOST, filled, inner, kept
from xmatch.networks.superpoint.network import CELL_PX, described, peaks

RADIUS_PX = 4
"""A keypoint is the strongest so far around it; its authors'."""
LEAST_HEAT = 5e-4
"""Of a keypoint, as LightGlue and MINIMA have it."""
MARGIN_PX = 4
"""No keypoint lies nearer to the end of the image; theirs too."""


class SuperPointDetector:
    """The strongest maxima of the heat map, whole px."""

    name = "superpoint"

    def __init__(self, network: nn.Module, device: str) -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """See `Detector`."""
        heat, cells = self._network(filled(image, valid, CELL_PX, self._device))
        height, width = image.shape
        usable = np.pad(inner(valid)[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX], MARGIN_PX)
        good = (peaks(heat, RADIUS_PX) & (heat > LEAST_HEAT))[0, :height, :width] & torch.from_numpy(usable).to(
            self._device
        )
        y, x = good.nonzero(as_tuple=True)
        order = heat[0, y, x].argsort(descending=True, stable=True)[:MOST]
        xy = torch.stack([x, y], -1)[order].to(heat.dtype)
        return kept(xy.double().cpu().numpy(), described(cells, xy), valid)
