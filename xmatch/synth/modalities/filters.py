"""Filters over a batch in which every image has its own strength."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RGB_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of ITU-R BT.601, as OpenCV and Pillow turn colour to gray."""


def gray(image: Tensor) -> Tensor:
    """(B, 1, H, W) luma of one or three channels."""
    if image.shape[1] == 1:
        return image
    red, green, blue = RGB_WEIGHTS
    return red * image[:, :1] + green * image[:, 1:2] + blue * image[:, 2:]


def convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Each image with its own kernel (B, k), k odd, along rows and down columns; edges are repeated outwards."""
    reach = kernel.shape[1] // 2
    padded = F.pad(image, (reach, reach, reach, reach), mode="replicate")
    return convolved_down(convolved_across(padded, kernel), kernel)


def convolved_across(image: Tensor, kernel: Tensor) -> Tensor:
    """Along the rows, without padding: k - 1 columns fewer."""
    return _convolved(image, kernel[:, None, None, :])


def convolved_down(image: Tensor, kernel: Tensor) -> Tensor:
    """Down the columns, without padding: k - 1 rows fewer."""
    return _convolved(image, kernel[:, None, :, None])


def _convolved(image: Tensor, kernels: Tensor) -> Tensor:
    batch, channels, height, width = image.shape
    groups = batch * channels
    kernels = kernels.repeat_interleave(channels, 0)
    out = F.conv2d(image.reshape(1, groups, height, width), kernels, groups=groups)
    return out.reshape(batch, channels, *out.shape[-2:])


def gaussian(sigma: Tensor, reach: int) -> Tensor:
    """(B, 2 reach + 1) kernels of sum 1 for the sigmas (B, 1, 1, 1) in px; at sigma 0 a kernel that does nothing."""
    taps = torch.arange(-reach, reach + 1, device=sigma.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (taps / sigma.reshape(-1, 1).clamp_min(1e-3)) ** 2)
    return kernel / kernel.sum(1, keepdim=True)


def blurred(image: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Gaussian blur of each image by its own sigma (B, 1, 1, 1) in px, cut off at `reach` px."""
    return convolved(image, gaussian(sigma, reach))


def shrunk(image: Tensor, factor: int) -> Tensor:
    """Means over about `factor` x `factor` px."""
    height, width = image.shape[-2:]
    size = (max(2, height // factor), max(2, width // factor))
    # Halving linearly is the mean of 2 x 2 px, in less time than pooling.
    return _resized(image, size) if factor == 2 else F.adaptive_avg_pool2d(image, size)


def grown(image: Tensor, like: Tensor) -> Tensor:
    """Bilinear, to the height and width of `like`."""
    height, width = like.shape[-2:]
    return _resized(image, (height, width))


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    # Channels as images of their own: with two or three channels torch takes a way four times as slow on a processor.
    alone = image.reshape(-1, 1, *image.shape[-2:])
    out = F.interpolate(alone, size, mode="bilinear", align_corners=False)
    return out.reshape(*image.shape[:2], *size)


def widely_blurred(image: Tensor, sigma: Tensor, factor: int = 4) -> Tensor:
    """Gaussian blur by 1 to 3 `factor`s px, computed on the shrunk image."""
    return grown(blurred(shrunk(image, factor), sigma / factor, 7), image)


def slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences per px along x and along y; zero across the border."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    along_x = 0.5 * (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2])
    along_y = 0.5 * (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1])
    return along_x, along_y


def flattened(image: Tensor, tolerance: Tensor | float, factor: int = 4, reach: int = 2) -> Tensor:
    """Texture weaker than `tolerance` smoothed away, edges kept: the fast guided filter, guided by the image itself.

    He and Sun, Fast Guided Filter, arXiv 1505.00996 (2015): the linear coefficients come from the image shrunk by
    `factor`, over windows of 2 reach + 1 of its px, and are enlarged.
    """
    small = shrunk(image, factor)
    size = 2 * reach + 1
    box = torch.full((len(image), size), 1.0 / size, device=image.device)
    mean = convolved(small, box)
    variance = (convolved(small * small, box) - mean * mean).clamp_min(0.0)
    gain = variance / (variance + tolerance**2)
    offset = convolved(mean * (1 - gain), box)
    return (grown(convolved(gain, box), image) * image + grown(offset, image)).clamp(0.0, 1.0)
