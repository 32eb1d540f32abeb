"""Patterns that worlds are laid out with: noise, cells, curves. All of them are (B, 1, H, W), one draw per image.

Numbers of things (a cell, a zone) are kept as indices into tables (B, N) laid flat, so that one look-up gives any
property of the thing at every px.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.synth.modalities.draws import uniform

CYCLE = 32
"""Rows, and columns of a row, after which the properties of cells repeat."""


def canvas(count: int, size: int, device: torch.device) -> Tensor:
    """(B, 1, size, size) zeros: what draws take their shape and device from."""
    return torch.zeros((count, 1, size, size), device=device)


def pixel_centres(like: Tensor) -> tuple[Tensor, Tensor]:
    """x (1, 1, 1, W) and y (1, 1, H, 1) in px."""
    height, width = like.shape[-2:]
    x = torch.arange(width, device=like.device, dtype=torch.float32) + 0.5
    y = torch.arange(height, device=like.device, dtype=torch.float32) + 0.5
    return x.reshape(1, 1, 1, -1), y.reshape(1, 1, -1, 1)


def table(like: Tensor, rng: torch.Generator, entries: int) -> Tensor:
    """(B, entries) numbers in [0, 1): a property of things, by their number."""
    return torch.rand((len(like), entries), generator=rng, device=like.device)


def flat_index(number: Tensor, entries: int) -> Tensor:
    """int32 index into a table (B, entries) laid flat, of numbers (B, 1, H, W) given as float or integer."""
    first = torch.arange(len(number), device=number.device, dtype=torch.float32).reshape(-1, 1, 1, 1) * entries
    # Exact: all numbers stay below 2^24. Adding integers that broadcast takes twenty times as long on a processor.
    return (number.float() + first).to(torch.int32)


def of(index: Tensor, values: Tensor) -> Tensor:
    """Values (B, N) of the things numbered by a `flat_index` (B, 1, H, W)."""
    return values.reshape(-1).index_select(0, index.reshape(-1)).reshape(index.shape)


def chosen(mask: Tensor, yes: Tensor | float, no: Tensor) -> Tensor:
    """`yes` where the float mask is 1, `no` where it is 0; a blend between. Quicker than torch.where on a processor."""
    return no + mask * (yes - no)


def fractal(like: Tensor, rng: torch.Generator, slope: Tensor, longest: float = 1.0) -> Tensor:
    """(B, 1, H, W) noise of zero mean and unit variance whose amplitude falls as frequency to the power of -slope.

    Made in the Fourier domain (spectral synthesis, Saupe in The Science of Fractal Images, 1988), hence periodic.

    Args:
        slope: (B, 1, 1, 1); 2 looks like terrain, 1 like clouds, 0 is white.
        longest: longest wave, in shares of the side.
    """
    height, width = like.shape[-2:]
    size = (len(like), 1, height, width // 2 + 1)
    real = torch.randn(size, generator=rng, device=like.device)
    imaginary = torch.randn(size, generator=rng, device=like.device)
    down = torch.fft.fftfreq(height, device=like.device)[:, None]
    across = torch.fft.rfftfreq(width, device=like.device)
    frequency = (down**2 + across**2).sqrt()
    cut = 1.0 / (longest * max(height, width))
    gain = (frequency.clamp_min(cut).log() * -slope).exp() * (frequency > 0)
    noise = torch.fft.irfft2(torch.complex(real * gain, imaginary * gain), s=(height, width))
    return noise / noise.std((2, 3), keepdim=True).clamp_min(1e-9)


def grain_noise(like: Tensor, rng: torch.Generator, knot_px: float) -> Tensor:
    """(B, 1, H, W) smooth noise of about unit variance through standard normal knots `knot_px` apart."""
    height, width = like.shape[-2:]
    knots = (len(like), 1, max(2, round(height / knot_px) + 1), max(2, round(width / knot_px) + 1))
    small = torch.randn(knots, generator=rng, device=like.device)
    return 1.4 * F.interpolate(small, (height, width), mode="bilinear", align_corners=False)


class Tiles(NamedTuple):
    """A line cut into tiles of uneven length, at every px."""

    number: Tensor
    """Number of the tile, as float."""
    before: Tensor
    """Distance from the tile's beginning, in mean tile lengths."""
    length: Tensor
    """Length of the tile, in mean tile lengths."""
    first: Tensor
    """`flat_index` of the tile's beginning, for properties of the cut between two tiles."""
    last: Tensor
    """`flat_index` of its end."""


def tiles(along: Tensor, line: Tensor, jitter: Tensor) -> Tiles:
    """Tiles of mean length 1 whose ends are moved.

    Args:
        along: (B, 1, H, W) position, in mean tile lengths.
        line: (B, 1, H, W) `flat_index` of the line's first cut, in tables with `CYCLE` cuts a line.
        jitter: (B, lines * CYCLE) in (-0.5, 0.5), by how much each cut is moved.
    """
    number = along.floor()
    share = along - number
    # A tile's neighbour reaches in where the cut between the two has moved.
    start = of(_cut(line, number), jitter)
    end = 1 + of(_cut(line, number + 1), jitter)
    number = number - (share < start).float() + (share >= end).float()
    first, last = _cut(line, number), _cut(line, number + 1)
    begin = number + of(first, jitter)
    finish = number + 1 + of(last, jitter)
    return Tiles(number, along - begin, finish - begin, first, last)


def _cut(line: Tensor, number: Tensor) -> Tensor:
    return line + torch.remainder(number, CYCLE).to(torch.int32)


class Zones(NamedTuple):
    """A plane cut into Voronoi cells, at every px."""

    number: Tensor
    """(B, 1, H, W) number of the cell, as float."""
    pair: Tensor
    """(B, 1, H, W) `flat_index` of (cell, next cell) in tables (B, K * K)."""
    border_px: Tensor
    """(B, 1, H, W) distance to the border with the next cell."""


def zones(x: Tensor, y: Tensor, sites: Tensor) -> Zones:
    """Voronoi cells of sites (B, K, 2) in px, at places x and y (B, 1, H, W) in px.

    Nearest is the site with the largest s.p - |s|^2 / 2; the difference of two of these over the distance of the
    sites is the exact distance to their border.
    """
    batch, count, _ = sites.shape
    site_x, site_y = (sites[:, :, i].reshape(batch, count, 1, 1) for i in (0, 1))
    half = 0.5 * (site_x**2 + site_y**2)
    best = site_x[:, :1] * x + site_y[:, :1] * y - half[:, :1]
    number, second, follower = torch.zeros_like(best), torch.full_like(best, -1e12), torch.zeros_like(best)
    for k in range(1, count):
        score = site_x[:, k : k + 1] * x + site_y[:, k : k + 1] * y - half[:, k : k + 1]
        wins = (score > best).float()
        runner_up = torch.minimum(score, best)
        loser = k + wins * (number - k)
        follower = chosen((runner_up > second).float(), loser, follower)
        second = torch.maximum(second, runner_up)
        number = number + wins * (k - number)
        best = torch.maximum(best, score)
    pair = flat_index(number * count + follower, count * count)
    apart = torch.cdist(sites, sites).reshape(batch, -1).clamp_min(1e-3)
    return Zones(number, pair, (best - second) / of(pair, apart))


def curves(
    like: Tensor, rng: torch.Generator, count: int, wave: tuple[float, float], swing: float, shares: tuple[float, ...]
) -> Tensor:
    """(B, count, H, W) distance in px, with sign, to each of `count` winding lines through the image.

    Args:
        wave: range of the longest wave, in shares of the image's side.
        swing: largest amplitude, in shares of the wave.
        shares: lengths of the waves that add up, in shares of the longest.
    """
    height, width = like.shape[-2:]
    side = float(max(height, width))
    small = (max(2, height // 4), max(2, width // 4))
    y = (torch.arange(small[0], device=like.device) + 0.5).reshape(1, 1, -1, 1) * (height / small[0]) - 0.5 * height
    x = (torch.arange(small[1], device=like.device) + 0.5).reshape(1, 1, 1, -1) * (width / small[1]) - 0.5 * width
    angle = uniform(like, rng, 0.0, 2 * math.pi, count)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    offset = side * uniform(like, rng, -0.5, 0.5, count)
    length = side * uniform(like, rng, *wave, count)
    line, steep = offset.expand_as(across), torch.zeros_like(across)
    for share in shares:
        amplitude = uniform(like, rng, 0.0, swing, count) * share * length
        rate = 2 * math.pi / (share * length)
        phase = along * rate + uniform(like, rng, 0.0, 2 * math.pi, count)
        line = line + amplitude * phase.sin()
        steep = steep + amplitude * rate * phase.cos()
    distance = (across - line) / (1 + steep**2).sqrt()
    alone = distance.reshape(-1, 1, *small)
    grown = F.interpolate(alone, (height, width), mode="bilinear", align_corners=False)
    return grown.reshape(len(like), count, height, width)
