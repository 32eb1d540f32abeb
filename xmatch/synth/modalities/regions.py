"""Kinds of surface: pixels of like colour that lie together, as labels.

Colours gather around a few centres; each pixel takes the centre that is near its own colour and common around it. The
second half is what makes areas of it: one step of mean-field inference in a conditional random field with Gaussian
smoothness (Kraehenbuehl and Koltun, NIPS 2011), without which every blurred edge would be a class of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import uniform
from xmatch.synth.modalities.filters import blurred, gray, grown, shrunk, widely_blurred

NO_REGION = -1e4
"""Score of a label that an image does not use."""


def regions(image: Tensor, rng: torch.Generator, low: int, high: int, smooth_px: tuple[float, float]) -> Tensor:
    """(B, 1, H, W) label of each pixel, 0 .. high - 1 as float; each image has `low` to `high` of them.

    Args:
        smooth_px: range of the standard deviation, in px, of the neighbourhood that has a say.
    """
    features = _features(image, rng)
    centres = _centres(features, rng, high)
    count = torch.randint(low, high + 1, (len(image), 1, 1), generator=rng, device=image.device)
    unused = NO_REGION * (torch.arange(high, device=image.device)[:, None] >= count)
    half = features.flatten(2)
    # Minus the squared distance, without the part that all centres share.
    near = torch.baddbmm(unused - (centres**2).sum(2, keepdim=True), centres, half, alpha=2.0)
    spread = _spread(near, half)
    near = near / (spread * uniform(image, rng, 0.2, 0.8)[..., 0])
    near = near.reshape(len(image), high, *features.shape[-2:])
    share = blurred(near.softmax(1), 0.5 * uniform(image, rng, *smooth_px), 7)
    score = near + uniform(image, rng, 2.0, 5.0) * share.clamp_min(1e-6).log()
    return _best(score, image)


def of_region(label: Tensor, values: Tensor) -> Tensor:
    """Values (B, C, n) of the n labels, laid out as the labels (B, 1, H, W) are -> (B, C, H, W)."""
    batch, _, height, width = label.shape
    count = values.shape[2]
    first = torch.arange(batch, device=label.device, dtype=torch.int32).reshape(-1, 1, 1, 1) * count
    index = (label.to(torch.int32) + first).reshape(-1)
    planes = [values[:, c].reshape(-1).index_select(0, index) for c in range(values.shape[1])]
    return torch.stack([plane.reshape(batch, height, width) for plane in planes], 1)


def _features(image: Tensor, rng: torch.Generator) -> Tensor:
    """(B, 3, h, w) at half the size: brightness and two differences of colour (gray images: roughness, wide means)."""
    small = shrunk(image, 2)
    luma = gray(small)
    if image.shape[1] == 3:
        red, green, blue = small.split(1, 1)
        others = [red - green, blue - green]
    else:
        mean = widely_blurred(luma, uniform(image, rng, 3.0, 6.0), 2)
        others = [2 * widely_blurred((luma - mean).abs(), uniform(image, rng, 3.0, 6.0), 2), 0.5 * mean]
    weights = uniform(image, rng, 0.5, 2.5, 2)
    return torch.cat([luma, weights[:, :1] * others[0], weights[:, 1:] * others[1]], 1)


def _centres(features: Tensor, rng: torch.Generator, count: int, rounds: int = 2) -> Tensor:
    """(B, count, 3): colours of random pixels, moved by `rounds` of k-means."""
    points = shrunk(features, 3).flatten(2)
    batch, channels, total = points.shape
    picked = torch.randint(0, total, (batch, count), generator=rng, device=points.device)
    centres = points.gather(2, picked[:, None].expand(-1, channels, -1)).transpose(1, 2)
    for _ in range(rounds):
        near = torch.baddbmm(-(centres**2).sum(2, keepdim=True), centres, points, alpha=2.0)
        mine = (near == near.amax(1, keepdim=True)).float()
        size = mine.sum(2, keepdim=True)
        centres = torch.where(size > 0, mine @ points.transpose(1, 2) / size.clamp_min(1.0), centres)
    return centres


def _spread(near: Tensor, points: Tensor) -> Tensor:
    """(B, 1, 1) mean squared distance to the nearest centre; never quite 0."""
    nearest = (points**2).sum(1, keepdim=True) - near.amax(1, keepdim=True)
    return nearest.mean(2, keepdim=True).clamp_min(1e-4)


def _best(score: Tensor, like: Tensor) -> Tensor:
    """(B, 1, H, W) number of the largest channel, as float, of the scores enlarged to the size of `like`.

    One channel after the other takes a tenth of the time of argmax on a processor, and less memory.
    """
    best = grown(score[:, :1], like)
    label = torch.zeros_like(best)
    for number in range(1, score.shape[1]):
        other = grown(score[:, number : number + 1], like)
        label.masked_fill_(other > best, float(number))
        torch.maximum(best, other, out=best)
    return label
