"""What the network sees of an image: its brightness, and where its edges run whichever side of them is brighter.

An edge's direction survives most changes of sensor, its sign does not. Giving it as an input instead of leaving it to
be learned is worth hours of training on a small machine (docs/lab-log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHANNELS = 5
"""Brightness, validity, strength, and two of direction."""
AROUND_PX = 13
"""Side of the window whose mean strength an edge is compared with: a faint edge in a dark field counts too. Not
tuned."""
RIM_PX = 2
"""Gradients this near to pixels that are not valid would tell where the border runs. Smoothing and Sobel reach so
far."""
MOST = 2.5
"""Largest strength of an edge, times the mean around, under the root. Not tuned."""


def observed(image: Tensor, valid: Tensor) -> Tensor:
    """(B, 5, H, W): brightness, validity, strength of edges, strength times cos 2 phi and sin 2 phi of their direction.

    The doubled angle makes a field blind to contrast inversion (Fitch et al., BMVC 2002).

    Args:
        image: (B, 1, H, W), any range.
        valid: (B, 1, H, W) bool.
    """
    mask = valid.to(image.dtype)
    bright = standardised(image, valid)
    # Sobel, of an image smoothed by three in each direction.
    padded = F.pad(F.avg_pool2d(F.pad(bright, (1, 1, 1, 1), mode="replicate"), 3, 1), (1, 1, 1, 1), mode="replicate")
    across = padded[..., 2:] - padded[..., :-2]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    gx = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    gy = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    trusted = 1 - F.max_pool2d(1 - mask, 2 * RIM_PX + 1, 1, RIM_PX)
    squared = (gx.square() + gy.square()) * trusted
    around = _mean_around(squared, trusted)
    whole = squared.sum((2, 3), keepdim=True) / trusted.sum((2, 3), keepdim=True).clamp(min=1)
    length = squared.sqrt()
    # A tenth of the image's own mean keeps the noise of flat areas from passing for edges.
    strength = (length / (around.sqrt() + 0.1 * whole.sqrt() + 1e-4)).clamp(max=MOST**2).sqrt() * trusted
    share = strength / squared.clamp(min=1e-12)
    fields = [strength, share * (gx.square() - gy.square()), share * 2 * gx * gy]
    return torch.cat([bright, mask, *(f * trusted for f in fields)], 1)


def standardised(image: Tensor, valid: Tensor) -> Tensor:
    """(B, 1, H, W) image with mean 0 and standard deviation 1 over its valid pixels, 0 elsewhere.

    Args:
        image: (B, 1, H, W), any range.
        valid: (B, 1, H, W) bool.
    """
    mask = valid.to(image.dtype)
    count = mask.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (image * mask).sum((2, 3), keepdim=True) / count
    centred = (image - mean) * mask
    deviation = (centred.square().sum((2, 3), keepdim=True) / count).sqrt()
    return centred / deviation.clamp(min=1e-4)


def _mean_around(values: Tensor, weight: Tensor) -> Tensor:
    # Along one axis after the other: 26 additions a pixel instead of 169.
    both = F.avg_pool2d(torch.cat([values, weight], 1), (AROUND_PX, 1), 1, (AROUND_PX // 2, 0))
    total, cover = F.avg_pool2d(both, (1, AROUND_PX), 1, (0, AROUND_PX // 2)).chunk(2, 1)
    return total / cover.clamp(min=1e-3)
