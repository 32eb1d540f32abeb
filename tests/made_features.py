"""A feature that needs no weights: what colours and their changes look like in a cell."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.pointwise.images import Seen


class Looks:
    """Responses to random filters, averaged over the middle of each cell of 8 px."""

    name = "looks"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._filters = torch.randn((48, 3, 7, 7), generator=generator)
        self.asked: list[str] = []

    def __call__(self, images: Tensor, task: str) -> Tensor:
        self.asked.append(task)
        seen = F.conv2d(images - images.mean((2, 3), keepdim=True), self._filters, padding=3)
        return F.normalize(F.avg_pool2d(seen, 8), dim=1)


def texture(width: int = 160, height: int = 128, seed: int = 0) -> np.ndarray:
    """(h, w, 3) float32 in [0, 1], smooth and nowhere like elsewhere; it goes on where it leaves the picture."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    wrapped = cv2.copyMakeBorder(noise, 16, 16, 16, 16, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(wrapped, (0, 0), 4)[16:-16, 16:-16]
    return cv2.normalize(smooth, None, 0, 1, cv2.NORM_MINMAX)


def seen(image: np.ndarray, name: str = "image", size_px: tuple[int, int] | None = None) -> Seen:
    height, width = image.shape[:2]
    return Seen(name, image, np.ones((height, width), bool), size_px or (width, height))
