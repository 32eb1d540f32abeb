"""Curves of grey levels as tables, one per image, and the values they are looked up with.

A table is (B, LEVELS) or (B, C, LEVELS); entry i is the curve at i / (LEVELS - 1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.draws import chance, uniform

LEVELS = 256
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


def equalised(values: Tensor) -> Tensor:
    """Share of the image that is darker: ranks in [0, 1], to `LEVELS` levels."""
    ordered = sample(values)
    low, high = ordered[:, :1], ordered[:, -1:]
    span = (high - low).clamp_min(1e-6)
    grid = low + span * torch.linspace(0.0, 1.0, LEVELS, device=values.device)
    below = torch.searchsorted(ordered, grid, right=False) + torch.searchsorted(ordered, grid, right=True)
    table = 0.5 * below / ordered.shape[1]
    return looked_up((values - low[..., None, None]) / span[..., None, None], table)


def wavy_table(image: Tensor, rng: torch.Generator, knots: int) -> Tensor:
    """(B, LEVELS) smooth curves with values over the whole of [0, 1], through `knots` random heights."""
    heights = torch.rand((len(image), 1, knots), generator=rng, device=image.device)
    return _unit_range(_through(heights))


def rising_table(image: Tensor, rng: torch.Generator, knots: int = 6) -> Tensor:
    """(B, LEVELS) rising curves from 0 to 1 of uneven steepness."""
    steps = torch.rand((len(image), 1, knots), generator=rng, device=image.device) ** 2 + 0.05
    return _unit_range(_through(steps).cumsum(1))


def stepped_table(image: Tensor, rng: torch.Generator, low: int, high: int, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Piecewise constant curves of `low` to `high` steps at random places and heights.

    Returns:
        (B, LEVELS) number of the step, as float, and (B, channels, LEVELS) its random height in [0, 1].
    """
    batch, device = len(image), image.device
    count = torch.randint(low, high + 1, (batch, 1), generator=rng, device=device)
    edges = torch.rand((batch, high - 1), generator=rng, device=device)
    # Spread out a little: equal shares would look alike every time, free places leave empty steps.
    regular = torch.arange(1, high, device=device) / count
    edges = regular + (edges - 0.5) * 0.8 / count
    edges = torch.where(torch.arange(1, high, device=device) < count, edges, torch.full_like(edges, 2.0))
    grid = torch.linspace(0.0, 1.0, LEVELS, device=device)
    number = (grid[None, :, None] >= edges[:, None, :]).sum(2)
    heights = torch.rand((batch, channels, high), generator=rng, device=device)
    return number.float(), heights.gather(2, number[:, None].expand(-1, channels, -1))


def mixed_table(image: Tensor, rng: torch.Generator, inverted: float, wavy: float) -> Tensor:
    """(B, LEVELS): rising curves, turned upside down with chance `inverted`; with chance `wavy` any smooth curve."""
    rising = rising_table(image, rng)
    flip = chance(image, rng, inverted).reshape(-1, 1)
    free = wavy_table(image, rng, 6)
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
