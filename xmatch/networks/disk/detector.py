"""DISK as kornia builds it, behind the protocol of all detectors."""

from __future__ import annotations

import torch
from torch import nn

from xmatch.coords import Image, Mask
from xmatch.networks.base import Keypoints
from xmatch.networks.keypoints import MOST, filled, kept

SPARE = 2
"""So many times as many keypoints are asked for as are wanted: some lie where nothing is valid."""
MULTIPLE = 16
"""Of px, that the network wants sides to be."""


class DiskDetector:
    """The strongest maxima of the heat map, whole px."""

    name = "disk"

    def __init__(self, network: nn.Module, device: str) -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """See `Detector`."""
        (found,) = self._network(filled(image, valid, MULTIPLE, self._device).expand(-1, 3, -1, -1), n=SPARE * MOST)
        order = found.detection_scores.argsort(descending=True)
        return kept(found.keypoints[order].double().cpu().numpy(), found.descriptors[order].float(), valid)
