"""Drawn areas: street maps, and plain label images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, uniform, white
from xmatch.synth.modalities.filters import blurred
from xmatch.synth.modalities.regions import of_region, regions


def outlines(number: Tensor) -> Tensor:
    """(B, 1, H, W) 1.0 where the label differs from that of the pixel to the right or below."""
    changed = torch.zeros_like(number)
    changed[..., :, :-1] = (number[..., :, 1:] != number[..., :, :-1]).float()
    changed[..., :-1, :] = torch.maximum(changed[..., :-1, :], (number[..., 1:, :] != number[..., :-1, :]).float())
    return changed


def lettering(image: Tensor, rng: torch.Generator, most: int) -> Tensor:
    """(B, 1, H, W) 1.0 on strokes that look like up to `most` short words, set level."""
    batch, _, height, width = image.shape
    device = image.device
    drawn = torch.randint(0, 2, (batch, height // 2 + 1, width // 2 + 1), generator=rng, device=device)
    # Every third half-cell column stays empty: the gaps between letters.
    drawn = drawn * (torch.arange(width // 2 + 1, device=device) % 3 != 0)
    strokes = drawn.repeat_interleave(2, 1)[:, :height].repeat_interleave(2, 2)[:, :, :width].float()
    y = uniform(image, rng, 0.0, height, most).flatten(1)[..., None]
    x = uniform(image, rng, 0.0, width, most).flatten(1)[..., None]
    tall = uniform(image, rng, 3.0, 6.0, most).flatten(1)[..., None]
    long = uniform(image, rng, 0.0, 30.0, most).flatten(1)[..., None]
    rows = ((torch.arange(height, device=device) - y).abs() < tall).float()
    columns = ((torch.arange(width, device=device) - x).abs() < long).float()
    return (((rows.transpose(1, 2) @ columns) > 0) * strokes)[:, None]


@dataclass(frozen=True)
class Map:
    """Areas in flat colours, mostly pale; kinds left out, thin outlines, a few words."""

    name: str = "map"
    words: int = 8
    kinds: int = 5

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        most = self.kinds
        label = regions(image, rng, 3, most, (1.0, 5.0))
        colours = uniform(image, rng, 0.0, 1.0, 3 * most).reshape(-1, 3, most)
        # Some kinds of surface are not on the map: they look like another.
        kinds = torch.randint(0, most, (len(image), 1, most), generator=rng, device=image.device)
        own = torch.arange(most, device=image.device).expand_as(kinds)
        left_out = uniform(image, rng, 0.0, 1.0, most).reshape(-1, 1, most) < 0.15
        kinds = torch.where(left_out, kinds, own)
        colours = colours.gather(2, kinds.expand(-1, 3, -1))
        grey = colours.mean(1, keepdim=True)
        colours = grey + (colours - grey) * uniform(image, rng, 0.0, 1.0)[..., 0]
        pale = uniform(image, rng, 0.45, 1.0)[..., 0] ** 2
        colours = 1 - pale * (1 - colours)
        looked = of_region(label, torch.cat([colours, kinds.float()], 1))
        areas, number = looked[:, :3], looked[:, 3:]
        line = outlines(number) * chance(image, rng, 0.75) * uniform(image, rng, 0.1, 0.9)
        words = lettering(image, rng, self.words) * uniform(image, rng, 0.0, 0.9)
        ink = blurred((1 - line) * (1 - words), uniform(image, rng, 0.0, 0.7), 2)
        return (areas * ink).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Posterised:
    """Labels of brightness and colour with random grey levels; the mildest form of knowing only where areas end."""

    name: str = "posterised"

    def __call__(self, image: Tensor, rng: torch.Generator) -> Tensor:
        label = regions(image, rng, 2, 6, (0.8, 5.0))
        out = of_region(label, uniform(image, rng, 0.0, 1.0, 6).reshape(-1, 1, 6))
        out = out + uniform(image, rng, 0.0, 0.05) * blobs(image, rng, 4)
        out = blurred(out, uniform(image, rng, 0.0, 1.2), 3)
        return (out + uniform(image, rng, 0.0, 0.03) * white(image, rng)).clamp(0.0, 1.0)
