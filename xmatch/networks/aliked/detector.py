"""ALIKED behind the protocol of all detectors."""

from __future__ import annotations

import torch
from torch import nn

from xmatch.coords import Image, Mask
from xmatch.networks.aliked.network import Aliked
from xmatch.networks.base import Keypoints
from xmatch.networks.keypoints import filled, kept


class AlikedDetector:
    """The strongest maxima of the score map, to a part of a pixel."""

    name = "aliked"

    def __init__(self, network: nn.Module, device: str) -> None:
        assert isinstance(network, Aliked)
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """See `Detector`."""
        found = self._network.detected(filled(image, valid, 1, self._device).expand(-1, 3, -1, -1))
        order = found.keypoint_scores.argsort(descending=True)
        return kept(found.keypoints[order].double().cpu().numpy(), found.descriptors[order].float(), valid)
