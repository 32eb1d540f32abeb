"""LightGlue between the keypoints of a detector."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xmatch.coords import Image, Mask, to_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.networks.base import Detector, Keypoints


class LightGlueRunner:
    """A trained LightGlue and the detector that it works on."""

    def __init__(self, network: nn.Module, device: str, detector: Detector) -> None:
        self._detector = detector
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    def describe(self, image: Image, valid: Mask) -> Keypoints:
        return self._detector(image, valid)

    @torch.inference_mode()
    def match(self, fixed: Keypoints, moving: Keypoints) -> Correspondences:
        """Certainty is the assignment's probability."""
        if not (len(fixed.xy) and len(moving.xy)):
            return Correspondences.empty()
        found = self._network({"image0": self._as_kornia_takes(fixed), "image1": self._as_kornia_takes(moving)})
        first, second = found["matches"][0].T.cpu().numpy()
        return Correspondences(fixed.xy[first], moving.xy[second], found["scores"][0].double().cpu().numpy())

    def _as_kornia_takes(self, points: Keypoints) -> dict[str, Any]:
        xy = torch.from_numpy(to_centre_xy(points.xy)).float()[None].to(self._device)
        size = torch.tensor([points.size], dtype=torch.float32, device=self._device)
        return {"keypoints": xy, "descriptors": points.descriptors[None].to(self._device), "image_size": size}
