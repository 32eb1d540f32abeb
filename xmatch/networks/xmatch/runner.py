"""A trained network and its device, in numpy and pixels: what the matcher asks of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.correspondences import Correspondences
from xmatch.geometry.masked import on_valid
from xmatch.networks.base import DenseWarp
from xmatch.networks.grids import cell_centres
from xmatch.networks.xmatch.network import MULTIPLE, Encoded, XMatch

FINEST = 2
"""Stride of the last refinement: half a view pixel is as exact as tie points can use."""


class Network:
    """`XMatch` in evaluation mode on one device. Images are (h, w) float32, masks (h, w) bool, any size."""

    def __init__(self, model: XMatch, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def encode(self, images: list[np.ndarray], masks: list[np.ndarray], *, finest: int = FINEST) -> Encoded:
        """Features of images of one shape."""
        image, valid = self._batch(images, np.float32), self._batch(masks, bool)
        return self.model.encode(image, valid, finest=finest)

    @torch.inference_mode()
    def match(self, fixed: Encoded, image: np.ndarray, mask: np.ndarray) -> Correspondences:
        """Moving that lies on fixed, give or take turns, scales and shifts as in training; px of both as given."""
        moving = self.encode([image], [mask])
        start = self.model.globally(self.model.attend(fixed, moving))
        found = self.model.refine(fixed, moving, start, finest=FINEST)
        return _correspondences(found.finest, 0, fixed, mask, (moving.valid.shape[2], moving.valid.shape[3]))

    def _batch(self, planes: list[np.ndarray], dtype: type) -> Tensor:
        """(B, 1, H, W), padded on the right and below to what the network takes."""
        stack = torch.from_numpy(np.stack(planes).astype(dtype))[:, None].to(self.device)
        height, width = stack.shape[2:]
        return F.pad(stack, (0, -width % MULTIPLE, 0, -height % MULTIPLE))


def _correspondences(
    found: DenseWarp, index: int, fixed: Encoded, moving_mask: np.ndarray, moving_shape: tuple[int, int]
) -> Correspondences:
    """Cells of fixed that have content and lead to valid pixels of moving."""
    warp, certainty = found.warp[index].float().cpu(), found.certainty[index].float().sigmoid().cpu().numpy().ravel()
    height, width = warp.shape[:2]
    own = F.avg_pool2d(fixed.valid[:1].float(), found.stride).flatten().cpu().numpy() > 0.99
    side = np.array([moving_shape[1], moving_shape[0]])
    moving_xy = ((warp.numpy().reshape(-1, 2) + 1) / 2 * side).astype(np.float64)
    centres = cell_centres(height, width, warp).numpy().reshape(-1, 2)
    fixed_xy = (centres + 1) / 2 * np.array([width, height]) * found.stride
    kept = own & on_valid(moving_mask, moving_xy)
    return Correspondences(fixed_xy[kept].astype(np.float64), moving_xy[kept], certainty[kept].astype(np.float64))
