"""Square cut-outs of uint8 images as tensors."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

LEAST_SHARE = 0.6
"""Side of a cut-out, share of the shorter side of the image, at least."""


def random_crop(images: list[np.ndarray], size: int, host: np.random.Generator) -> list[np.ndarray]:
    """The same random square of images that lie on the same grid, quarter-turned at random, as (size, size[, 3])."""
    height, width = images[0].shape[:2]
    side = min(height, width)
    side = max(1, round(side * host.uniform(LEAST_SHARE, 1.0)))
    y, x = int(host.integers(height - side + 1)), int(host.integers(width - side + 1))
    turns = int(host.integers(4))
    out = []
    for image in images:
        crop = image[y : y + side, x : x + side]
        how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        out.append(np.rot90(cv2.resize(crop, (size, size), interpolation=how), turns))
    return out


def to_tensor(images: list[np.ndarray], device: torch.device) -> Tensor:
    """(S, S) and (S, S, 3) uint8 -> (B, C, S, S) float32 in [0, 1]; C = 3 as soon as one image has colours."""
    if len({image.ndim for image in images}) > 1:
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, -1) for image in images]
    stack = torch.from_numpy(np.stack(images)).to(device, non_blocking=True)
    stack = stack[:, None] if stack.dim() == 3 else stack.permute(0, 3, 1, 2).contiguous()
    return stack.float().div_(255.0)
