"""Keypoints of any detector: kept where images are valid, and matched by mutual nearest descriptors."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.coords import AnyArray, Image, Mask, from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.geometry.masked import on_valid
from xmatch.networks.base import Detector, Keypoints

MOST = 1024
"""Keypoints an image, the strongest. The authors of LightGlue count 2,048 on twice as many px, which takes a CPU four
times as long."""
BORDER_PX = 4
"""Keypoints nearer to what is not valid are those of its border, not of the scene."""


def inner(valid: Mask) -> Mask:
    """(h, w) bool: what lies further than `BORDER_PX` from anything that is not valid; the end of the image is none."""
    side = 2 * BORDER_PX + 1
    kept: Mask = cv2.erode(valid.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=1) > 0
    return kept


def filled(image: Image, valid: Mask, multiple: int, device: torch.device) -> Tensor:
    """(1, 1, H, W) of an image (h, w): what is not valid in the mean grey, and padded with it on the right and below to
    multiples of `multiple` px."""
    mean = float(image[valid].mean()) if valid.any() else 0.5
    grey = torch.from_numpy(np.where(valid, image, np.float32(mean)))[None, None].to(device)
    height, width = image.shape
    return F.pad(grey, (0, -width % multiple, 0, -height % multiple), value=mean)


def kept(xy: AnyArray, descriptors: Tensor, valid: Mask, most: int = MOST) -> Keypoints:
    """The first `most` keypoints that lie well inside of what is valid.

    Args:
        xy: (N, 2) px, centre-counted, strongest first.
        descriptors: (N, D) of length 1.
        valid: (h, w) of the image.
    """
    found = from_centre_xy(np.asarray(xy, np.float64).reshape(-1, 2))
    chosen = np.flatnonzero(on_valid(inner(valid), found))[:most]
    at = torch.from_numpy(chosen).to(descriptors.device)
    return Keypoints(found[chosen], descriptors[at], (valid.shape[1], valid.shape[0]))


class MutualNearest:
    """Keypoints whose descriptors are each other's nearest.

    Args:
        least_similarity: of descriptors, cosine.
    """

    def __init__(self, detector: Detector, least_similarity: float = -1.0) -> None:
        self._detector, self._least = detector, least_similarity

    def describe(self, image: Image, valid: Mask) -> Keypoints:
        return self._detector(image, valid)

    @torch.inference_mode()
    def match(self, fixed: Keypoints, moving: Keypoints) -> Correspondences:
        """Certainty is the cosine between descriptors, mapped to [0, 1]."""
        if not (len(fixed.xy) and len(moving.xy)):
            return Correspondences.empty()
        likeness = fixed.descriptors @ moving.descriptors.T
        best, nearest = likeness.max(1)
        mutual = likeness.argmax(0)[nearest] == torch.arange(len(likeness), device=likeness.device)
        rows = (mutual & (best > self._least)).nonzero()[:, 0]
        certainty = ((1 + best[rows]) / 2).clamp(0, 1).double().cpu().numpy()
        columns = nearest[rows].cpu().numpy()
        return Correspondences(fixed.xy[rows.cpu().numpy()], moving.xy[columns], certainty)
