"""What a network that draws fields sees of an image: edges, brightness and texture, pooled into cells.

The first four planes are those that poses are searched by without a network
(`xmatch.matchers.search.pooled_descriptors`), in torch and with means over boxes where those have Gaussians.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xmatch.networks.edges import standardised

STRIDE = 3
"""Pixels a cell. That of the hand-made fields, which the search correlates."""
HAND = 4
"""Planes that hand-made fields have too."""
CHANNELS = 9
"""Planes that the network sees."""
RIM_PX = 3
"""Gradients this near to pixels that are not valid would tell where the border runs. Smoothing by five and Scharr
reach so far."""
MIN_COVER = 0.6
"""Share of a cell's pixels that must be trusted. Not tuned."""
AMOUNT = 0.8
"""Weight of the amount of edge against its direction. As for the hand-made fields."""
MOST = 2.5
"""Largest strength of an edge. As for the hand-made fields."""
NEAR, WIDE, WIDER = 7, 13, 17
"""Sides of windows, cells, whose mean an edge, the amount of fine edges and that of large ones are compared with. As
for the hand-made fields, boxes in place of their Gaussians."""


def observed_cells(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Planes and cover of a batch of images.

    Args:
        image: (B, 1, H, W) in [0, 1]; sides multiples of 3.
        valid: (B, 1, H, W) bool.

    Returns:
        (B, 9, H/3, W/3): strength of edges times cos 2 phi and sin 2 phi, amount of fine and of large edges against the
        mean around, the same two of large edges' direction, brightness, texture, cover. And (B, 1, H/3, W/3), 1 where a
        cell is to be believed; the planes are 0 elsewhere.
    """
    mask = valid.to(image.dtype)
    root = image.clamp(0, 1).sqrt()
    middle = (root * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)
    root = root * mask + middle * (1 - mask)
    trusted = 1 - F.max_pool2d(1 - F.pad(mask, [RIM_PX] * 4), 2 * RIM_PX + 1, 1)
    share = F.avg_pool2d(trusted, STRIDE)
    gx, gy = _gradient(_smoothed(root))
    squared = (gx.square() + gy.square()) * trusted
    around = F.interpolate(_mean_around(F.avg_pool2d(squared, STRIDE), share, NEAR), scale_factor=STRIDE)
    strength = _strength(squared.sqrt(), around.sqrt(), _floor(squared, trusted).sqrt()) * trusted
    per_square = strength / squared.clamp(min=1e-12)
    fine = torch.cat([per_square * (gx.square() - gy.square()), per_square * 2 * gx * gy, strength], 1)
    fine = F.avg_pool2d(fine, STRIDE)
    cover = (share > MIN_COVER).to(image.dtype)

    x, y = _gradient(_smoothed(F.avg_pool2d(root, STRIDE)))
    length = (x.square() + y.square()).sqrt() * share
    large = _strength(length, _mean_around(length, share, WIDER), _floor(length, share)) * share
    direction = large / length.square().clamp(min=1e-12)
    amounts = [
        AMOUNT * (amount - _mean_around(amount, share, side)) for amount, side in ((fine[:, 2:], WIDE), (large, WIDER))
    ]
    bright = standardised(image, valid)
    mean, square = F.avg_pool2d(torch.cat([bright, bright.square()], 1), STRIDE).chunk(2, 1)
    texture = (square - mean.square()).clamp(min=1e-8).sqrt()
    planes = [fine[:, :2], *amounts, direction * (x.square() - y.square()), direction * 2 * x * y, mean, texture]
    return torch.cat([torch.cat(planes, 1) * cover, cover], 1), cover


def _strength(length: Tensor, around: Tensor, floor: Tensor) -> Tensor:
    """A tenth of the image's own mean keeps the noise of flat areas from passing for edges."""
    return (length / (around + 0.1 * floor + 1e-6)).clamp(min=1e-12).sqrt().clamp(max=MOST)


def _floor(values: Tensor, weight: Tensor) -> Tensor:
    return values.sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1)


def _smoothed(image: Tensor) -> Tensor:
    """Binomial of five in each direction: standard deviation 1."""
    x = F.pad(image, (2, 2, 2, 2), mode="replicate")
    x = (x[..., :-4] + x[..., 4:] + 4 * (x[..., 1:-3] + x[..., 3:-1]) + 6 * x[..., 2:-2]) / 16
    return (x[..., :-4, :] + x[..., 4:, :] + 4 * (x[..., 1:-3, :] + x[..., 3:-1, :]) + 6 * x[..., 2:-2, :]) / 16


def _gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Scharr's, along x and along y."""
    x = F.pad(image, (1, 1, 1, 1), mode="replicate")
    across, down = x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :]
    gx = 3 * (across[..., :-2, :] + across[..., 2:, :]) + 10 * across[..., 1:-1, :]
    gy = 3 * (down[..., :-2] + down[..., 2:]) + 10 * down[..., 1:-1]
    return gx / 32, gy / 32


def _mean_around(values: Tensor, weight: Tensor, side: int) -> Tensor:
    """Mean over side x side cells of what is weighted; `values` are 0 where `weight` is."""
    both = F.avg_pool2d(torch.cat([values, weight], 1), (side, 1), 1, (side // 2, 0))
    total, cover = F.avg_pool2d(both, (1, side), 1, (0, side // 2)).chunk(2, 1)
    return total / cover.clamp(min=1e-3)
