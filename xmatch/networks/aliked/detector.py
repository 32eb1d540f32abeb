"""ALIKED as kornia builds it, behind the protocol of all detectors."""

from __future__ import annotations

import torch
from kornia.feature import ALIKED
from torch import nn

from xmatch.coords import Image, Mask
from xmatch.networks.aliked.config import AlikedConfig
from xmatch.networks.base import Keypoints
from xmatch.networks.keypoints import MOST, filled, kept

SPARE = 2
"""So many times as many keypoints are asked for as are wanted: some lie where nothing is valid."""


class _Aliked(ALIKED):
    """Without the grid that kornia keeps among the tensors and published files lack."""

    def __init__(self, config: AlikedConfig) -> None:
        super().__init__(config.model, max_num_keypoints=SPARE * MOST, detection_threshold=0.0)
        grid = self.dkd.get_buffer("hw_grid")
        del self.dkd.hw_grid
        self.dkd.register_buffer("hw_grid", grid, persistent=False)


def build(config: AlikedConfig) -> nn.Module:
    return _Aliked(config)


class AlikedDetector:
    """The strongest maxima of the score map, to a part of a pixel."""

    name = "aliked"

    def __init__(self, network: nn.Module, device: str) -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """See `Detector`."""
        (found,) = self._network(filled(image, valid, 1, self._device).expand(-1, 3, -1, -1))
        order = found.keypoint_scores.argsort(descending=True)
        return kept(found.keypoints[order].double().cpu().numpy(), found.descriptors[order].float(), valid)
