"""Curves of grey levels as tables, one per image, and the values they are looked up with.

A table is (B, LEVELS) or (B, C, LEVELS); entry i is the curve at i / (LEVELS - 1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.draws import chance, uniform

LEVELS = 256
"""Steps of a curve: as many as 8-bit images have."""
SAMPLE_STRIDE = 9
"""Quantiles are taken from every ninth px in each direction: 1024 of a 288 x 288 image."""


def looked_up(values: Tensor, table: Tensor) -> Tensor:
    """Values (B, 1, H, W) in [0, 1] through (B, LEVELS) -> (B, 1, H, W) or (B, C, LEVELS) -> (B, C, H, W)."""
    batch, _, height, width = values.shape
    first = torch.arange(batch, device=values.device, dtype=torch.int32).reshape(-1, 1, 1, 1) * LEVELS
    index = ((values.clamp(0.0, 1.0) * (LEVELS - 1) + 0.5).to(torch.int32) + first).reshape(-1)
    columns = table[:, None] if table.dim() == 2 else table
    looked = [columns[:, c].reshape(-1).index_select(0, index) for c in range(columns.shape[1])]
    return torch.stack([values.reshape(batch, height, width) for values in looked], 1)


def sample(values: Tensor) -> Tensor:
    """(B, n) sorted values of every `SAMPLE_STRIDE`-th px."""
    stride = max(1, min(SAMPLE_STRIDE, min(values.shape[-2:]) // 8))
    return values[..., ::stride, ::stride].flatten(1).sort(1).values


def quantiles(values: Tensor, *shares: float) -> list[Tensor]:
    """(B, 1, 1, 1) for each share in [0, 1], from a sample of the px."""
    ordered = sample(values)
    last = ordered.shape[1] - 1
    return [ordered[:, round(share * last)].reshape(-1, 1, 1, 1) for share in shares]


def stretched(values: Tensor, share: float = 0.01, least: float = 1e-3) -> Tensor:
    """Each image's range, but for `share` at either end, brought to [0, 1]; ranges below `least` count as `least`."""
    low, high = quantiles(values, share, 1 - share)
    return ((values - low) / (high - low).clamp_min(least)).clamp(0.0, 1.0)


def wavy_table(image: Tensor, rng: torch.Generator, knots: int) -> Tensor:
    """(B, LEVELS) smooth curves with values over the whole of [0, 1], through `knots` random heights."""
    heights = torch.rand((len(image), 1, knots), generator=rng, device=image.device)
    return _unit_range(_through(heights))


def rising_table(image: Tensor, rng: torch.Generator, knots: int = 6) -> Tensor:
    """(B, LEVELS) rising curves from 0 to 1 of uneven steepness."""
    steps = torch.rand((len(image), 1, knots), generator=rng, device=image.device) ** 2 + 0.05
    # The cubic may overshoot below zero between two small steps.
    return _unit_range(_through(steps).clamp_min(0.0).cumsum(1))


def mixed_table(image: Tensor, rng: torch.Generator, inverted: float, wavy: float) -> Tensor:
    """(B, LEVELS): rising curves, turned upside down with chance `inverted`; with chance `wavy` any smooth curve."""
    rising = rising_table(image, rng)
    flip = chance(image, rng, inverted).reshape(-1, 1)
    free = wavy_table(image, rng, 5)
    pick = chance(image, rng, wavy).reshape(-1, 1)
    rising = flip + (1 - 2 * flip) * rising
    return pick * free + (1 - pick) * rising


def _through(heights: Tensor) -> Tensor:
    """(B, 1, k) -> (B, LEVELS), smooth: cubic through the knots."""
    return F.interpolate(heights[:, :, None], (1, LEVELS), mode="bicubic", align_corners=True)[:, 0, 0]


def _unit_range(table: Tensor) -> Tensor:
    low, high = table.amin(1, keepdim=True), table.amax(1, keepdim=True)
    return (table - low) / (high - low).clamp_min(1e-6)


def random_contrast(values: Tensor, rng: torch.Generator, least: float = 0.3) -> Tensor:
    """Values in [0, 1] squeezed into a random part of [0, 1], at least `least` wide."""
    width = uniform(values, rng, least, 1.0)
    return values * width + uniform(values, rng, 0.0, 1.0) * (1 - width)
