"""What cameras and archives do to an image once it is taken: blur, noise, contrast, stripes, patches."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.filters import blurred
from xmatch.synth.seeds import uploaded

BLUR_REACH_PX = 3
"""Kernels are cut off here, at 2.3 deviations of the strongest blur."""
FULL_RANGE_SHARE = 0.6
"""Share of images that are stretched to the full range, as match views are; not tuned."""
STRETCH_STRIDE = 4
"""Percentiles are taken from every fourth px in each direction."""
PATCH_SHARE = (0.04, 0.2)
"""Sides of occluding patches, share of the image's."""
PATCHES = 3
"""In front of one image, at most."""


def degraded(
    image: Tensor, rng: torch.Generator, host: np.random.Generator, noise: float
) -> tuple[Tensor, Tensor | None]:
    """Images of (B, C, H, W) in [0, 1], each spoiled in its own way.

    Args:
        noise: 0 (exposure alone changes, mildly) to 1.

    Returns:
        The images, and (B, 1, H, W) bool of px that a patch hides, None when there is no patch.
    """
    if noise > 0:
        image = _coarsened(image, host, noise)
        image = _softened(image, host, noise)
    image = image.clamp(1e-4, 1.0) ** _column(np.exp(host.uniform(-1, 1, len(image)) * (0.1 + 0.4 * noise)), image)
    hidden = None
    if noise > 0:
        spread = image.std((1, 2, 3)).clamp_min(0.02)[:, None, None, None]
        image = _striped(image, spread, rng, host, noise)
        image = _noisy(image, spread, rng, host, noise)
    image = _ranged(image, host, noise)
    if noise > 0:
        image, hidden = _patched(image, rng, host, noise)
    return image.clamp_(0.0, 1.0), hidden


def _ranged(image: Tensor, host: np.random.Generator, noise: float) -> Tensor:
    """Most images fill the range of grey levels, as match views do; the others fill a random part of it."""
    full = host.random(len(image)) < FULL_RANGE_SHARE
    width = np.where(full, 1.0, 1 - host.random(len(image)) * (0.2 + 0.4 * noise))
    floor = host.random(len(image)) * (1 - width)
    image = _on_some(image, full, lambda part, chosen: stretched_alike(part))
    return image.mul(_column(width, image)).add_(_column(floor, image))


def stretched_alike(image: Tensor) -> Tensor:
    """The 1st to 99th percentile of each image, over all its channels, brought to [0, 1]."""
    flat = image[..., ::STRETCH_STRIDE, ::STRETCH_STRIDE].flatten(1).sort(1).values
    low, high = (flat[:, round(share * (flat.shape[1] - 1))][:, None, None, None] for share in (0.01, 0.99))
    return ((image - low) / (high - low).clamp_min(0.02)).clamp_(0.0, 1.0)


def _softened(image: Tensor, host: np.random.Generator, noise: float) -> Tensor:
    sigma = host.uniform(0, 1.3 * noise, len(image))
    return _on_some(
        image, sigma > 0.35, lambda part, chosen: blurred(part, _column(sigma[chosen], part), BLUR_REACH_PX)
    )


def _coarsened(image: Tensor, host: np.random.Generator, noise: float) -> Tensor:
    """Resolution lost for good: shrunk by a factor of up to 3, enlarged again."""
    factor = np.where(host.random(len(image)) < 0.2 * noise, host.uniform(1.5, 3.0, len(image)), 1.0)

    def coarse(part: Tensor, chosen: np.ndarray) -> Tensor:
        side = [max(2, round(n / float(factor[chosen].mean()))) for n in part.shape[-2:]]
        small = F.interpolate(part, side, mode="bilinear", antialias=True, align_corners=False)
        return F.interpolate(small, part.shape[-2:], mode="bilinear", align_corners=False)

    return _on_some(image, factor > 1, coarse)


def _striped(image: Tensor, spread: Tensor, rng: torch.Generator, host: np.random.Generator, noise: float) -> Tensor:
    """Rows or columns of detectors that answer differently."""

    def stripes(part: Tensor, chosen: np.ndarray) -> Tensor:
        shape = (len(part), 1, part.shape[-2], 1) if host.random() < 0.5 else (len(part), 1, 1, part.shape[-1])
        there = uploaded(chosen, part.device, torch.int64)
        strength = _column(host.uniform(0.1, 0.35, len(part)), part) * spread[there]
        return part + strength * torch.randn(shape, generator=rng, device=part.device)

    return _on_some(image, host.random(len(image)) < 0.15 * noise, stripes)


def _noisy(image: Tensor, spread: Tensor, rng: torch.Generator, host: np.random.Generator, noise: float) -> Tensor:
    sigma = host.uniform(0, 0.45 * noise, len(image)) * host.random(len(image))

    def grain(part: Tensor, chosen: np.ndarray) -> Tensor:
        drawn = torch.randn((len(part), 1, *part.shape[-2:]), generator=rng, device=part.device)
        return part + drawn.mul_(_column(sigma[chosen], part) * spread[uploaded(chosen, part.device, torch.int64)])

    return _on_some(image, sigma > 0.02, grain)


def _patched(
    image: Tensor, rng: torch.Generator, host: np.random.Generator, noise: float
) -> tuple[Tensor, Tensor | None]:
    """Something in front: up to three grey or noisy rectangles."""
    chosen = np.flatnonzero(host.random(len(image)) < 0.15 * noise)
    if not len(chosen):
        return image, None
    height, width = image.shape[-2:]
    count = host.integers(1, PATCHES + 1, len(chosen))
    x, y = (np.arange(n) for n in (width, height))
    where = uploaded(chosen, image.device, torch.int64)
    part = image.index_select(0, where)
    cover = torch.zeros_like(part[:, :1], dtype=torch.bool)
    for number in range(PATCHES):
        wide, high = (np.maximum(1, (host.uniform(*PATCH_SHARE, len(chosen)) * n).astype(int)) for n in (width, height))
        left, top = (np.floor(host.random(len(chosen)) * (n - w + 1)) for n, w in ((width, wide), (height, high)))
        across = (x >= left[:, None]) & (x < (left + wide)[:, None]) & (number < count)[:, None]
        down = (y >= top[:, None]) & (y < (top + high)[:, None])
        across, down = (uploaded(line, image.device, torch.bool) for line in (across, down))
        patch = down[:, None, :, None] & across[:, None, None, :]
        grain = torch.randn(part.shape, generator=rng, device=image.device)
        rough = _column(0.2 * (host.random(len(chosen)) < 0.5), image)
        part = torch.where(patch, _column(host.random(len(chosen)), image) + rough * grain, part)
        cover = cover | patch
    hidden = image.new_zeros((len(image), 1, height, width), dtype=torch.bool).index_copy_(0, where, cover)
    return image.index_copy(0, where, part), hidden


def _on_some(image: Tensor, wanted: np.ndarray, change) -> Tensor:
    """The images with `change(part, indices)` applied to those that are `wanted`, (B,) bool."""
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return image
    if len(chosen) == len(image):
        return change(image, chosen)
    where = uploaded(chosen, image.device, torch.int64)
    return image.index_copy(0, where, change(image.index_select(0, where), chosen))


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """(B, 1, 1, 1)."""
    return uploaded(values, like.device, like.dtype)[:, None, None, None]
