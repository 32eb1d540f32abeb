"""The plan of a landscape: zones, each with its own grid of plots, lanes between plots, parcels in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xmatch.synth.modalities.draws import blobs, chance, uniform
from xmatch.synth.worlds.patterns import CYCLE, Tiles, flat_index, of, pixel_centres, table, tiles, zones
from xmatch.synth.worlds.surfaces import SLOTS, ZONES, by_use, palette

MOST_ZONES = 8
"""In an image, drawn evenly from 1 on; not tuned."""
PARTS = 8192
"""Numbers of things (parcels, buildings, fields) in an image; beyond, they repeat."""
FAR = 1e6
"""px, beyond any image: where unused things are put."""
LEAST_PLOT_PX = 4.0
"""Plots are no narrower: their edges would be all that is seen."""


@dataclass(frozen=True, eq=False)
class PlotLayout:
    """What lies where, at every px; (B, 1, H, W) each."""

    use: Tensor
    """Number of the `Use`, int32."""
    part: Tensor
    """`flat_index` of the parcel, in tables (B, PARTS)."""
    lane_px: Tensor
    """Distance to the edge of the nearest lane or avenue; negative on it."""
    lane_along: Tensor
    """1.0 where the nearest lane of the grid runs along its first axis, 0.0 where it runs along the second."""
    border_px: Tensor
    """Distance to the next zone."""
    along_px: Tensor
    """Position along the grid's first axis."""
    across_px: Tensor
    """Position along its second axis."""
    u_px: Tensor
    """Position in the parcel along the first axis, from its middle."""
    v_px: Tensor
    half_u_px: Tensor
    """Half of the parcel's length."""
    half_v_px: Tensor
    metre_px: Tensor
    """(B, 1, 1, 1) px in a metre."""


def lay_out(like: Tensor, rng: torch.Generator, kinds: tuple[tuple[str, float], ...], metre_px: Tensor) -> PlotLayout:
    """A plan made of zones of these kinds, by weight."""
    batch, side = len(like), max(like.shape[-2:])
    x, y = _bent(like, rng)
    sites = side * (1.3 * torch.rand((batch, MOST_ZONES, 2), generator=rng, device=like.device) - 0.15)
    # Images have from one zone to all of them: the others lie too far away to matter.
    unused = torch.arange(MOST_ZONES, device=like.device)[:, None] >= uniform(like, rng, 1.0, MOST_ZONES + 1.0)[:, 0]
    zone = zones(x, y, sites + FAR * 0.02 * unused * torch.arange(1, MOST_ZONES + 1, device=like.device)[:, None])
    kind = _kinds(like, rng, kinds)
    index = flat_index(zone.number, MOST_ZONES)
    frames = _Frames.draw(like, rng, kind, kinds, metre_px)
    cos, sin = of(index, frames.cos), of(index, frames.sin)
    along, across = x * cos + y * sin, y * cos - x * sin
    plot_u, plot_v = of(index, frames.plot_u), of(index, frames.plot_v)
    uneven = frames.uneven.repeat_interleave(CYCLE, 1)
    jitter_v = (2 * table(like, rng, MOST_ZONES * CYCLE) - 1) * uneven
    row = tiles(across / plot_v, index * CYCLE, jitter_v)
    # Every row has its own division into plots.
    line = flat_index(zone.number * CYCLE + torch.remainder(row.number, CYCLE), MOST_ZONES * CYCLE)
    shift = of(line, table(like, rng, MOST_ZONES * CYCLE) * frames.broken.repeat_interleave(CYCLE, 1))
    stretch = of(
        line, 1 + (1.2 * table(like, rng, MOST_ZONES * CYCLE) - 0.5) * frames.broken.repeat_interleave(CYCLE, 1)
    )
    jitter_u = (2 * table(like, rng, MOST_ZONES * CYCLE * CYCLE) - 1) * uneven.repeat_interleave(CYCLE, 1)
    plot_u = plot_u * stretch
    column = tiles(along / plot_u + shift, line * CYCLE, jitter_u)
    lane_px, lane_along, inset = _lanes(like, rng, row, column, (plot_u, plot_v), index, frames)
    lane_px = torch.minimum(lane_px, _avenues(like, rng, zone.pair, zone.border_px, metre_px))
    slot = (table(like, rng, MOST_ZONES * CYCLE * CYCLE) * SLOTS).floor()
    uses = torch.tensor(palette(tuple(name for name, _ in kinds)), device=like.device)
    first = (kind * SLOTS).repeat_interleave(CYCLE * CYCLE, 1)
    use = of(column.first, uses[(first + slot).long()]).to(torch.int32)
    u, v, half_u, half_v, part = _parcels(like, rng, row, column, (plot_u, plot_v), inset, use, metre_px)
    return PlotLayout(use, part, lane_px, lane_along, zone.border_px, along, across, u, v, half_u, half_v, metre_px)


def _bent(like: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions moved smoothly, so that grids bend; in half of the images they do not."""
    side = max(like.shape[-2:])
    amount = side * uniform(like, rng, 0.0, 0.06) * chance(like, rng, 0.5)
    x, y = pixel_centres(like)
    return x + amount * blobs(like, rng, 2), y + amount * blobs(like, rng, 2)


def _kinds(like: Tensor, rng: torch.Generator, kinds: tuple[tuple[str, float], ...]) -> Tensor:
    """(B, zones) number of each zone's kind in `kinds`; an image has about two of them."""
    weights = torch.tensor([weight for _, weight in kinds], device=like.device).expand(len(like), -1)
    two = torch.multinomial(weights, 2, replacement=True, generator=rng)
    other = torch.multinomial(weights, MOST_ZONES, replacement=True, generator=rng)
    pick = (table(like, rng, MOST_ZONES) * 2.6).long()
    return torch.where(pick < 2, two.gather(1, pick.clamp_max(1)), other)


@dataclass(frozen=True, eq=False)
class _Frames:
    """The grid of each zone, (B, zones) each."""

    cos: Tensor
    sin: Tensor
    plot_u: Tensor
    """Mean length of plots, px."""
    plot_v: Tensor
    lane_px: Tensor
    """Half the width of lanes."""
    laned: Tensor
    uneven: Tensor
    broken: Tensor
    """0: rows share their columns, as in a chessboard; 1: each row has its own."""

    @classmethod
    def draw(cls, like: Tensor, rng: torch.Generator, kind: Tensor, kinds: tuple, metre_px: Tensor) -> _Frames:
        numbers = [ZONES[name] for name, _ in kinds]

        def drawn(ranges: list[tuple[float, float]]) -> Tensor:
            low, high = torch.tensor(ranges, device=like.device)[kind].unbind(-1)
            return (low.log() + table(like, rng, MOST_ZONES) * (high / low).log()).exp()

        metre = metre_px[:, 0, 0]
        # Neighbouring zones often share their orientation.
        common = table(like, rng, 1) * math.pi
        own = (table(like, rng, MOST_ZONES) < 0.6).float()
        angle = common + own * table(like, rng, MOST_ZONES) * math.pi
        fixed = {
            name: torch.tensor([getattr(z, name) for z in numbers], device=like.device)[kind]
            for name in ("laned", "uneven")
        }
        return cls(
            angle.cos(),
            angle.sin(),
            (drawn([z.plot_m[0] for z in numbers]) * metre).clamp_min(LEAST_PLOT_PX),
            (drawn([z.plot_m[1] for z in numbers]) * metre).clamp_min(LEAST_PLOT_PX),
            0.5 * drawn([z.lane_m for z in numbers]) * metre,
            fixed["laned"],
            fixed["uneven"] * table(like, rng, MOST_ZONES),
            (table(like, rng, MOST_ZONES) < 0.5).float() * table(like, rng, MOST_ZONES),
        )


def _lanes(
    like: Tensor,
    rng: torch.Generator,
    row: Tiles,
    column: Tiles,
    plot: tuple[Tensor, Tensor],
    index: Tensor,
    frames: _Frames,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Distance to the edge of the lanes around a plot, which axis the nearest follows, their half widths (px)."""
    rows, columns = MOST_ZONES * CYCLE, MOST_ZONES * CYCLE * CYCLE

    def widths(cuts: int) -> Tensor:
        # Some lanes are broad, some are not there at all.
        each = cuts // MOST_ZONES
        there = (table(like, rng, cuts) < frames.laned.repeat_interleave(each, 1)).float()
        broad = 0.7 + 0.5 * table(like, rng, cuts) + 1.2 * (table(like, rng, cuts) < 0.12)
        return there * broad * frames.lane_px.repeat_interleave(each, 1)

    row_widths, column_widths = widths(rows), widths(columns)
    before, after = of(row.first, row_widths), of(row.last, row_widths)
    left, right = of(column.first, column_widths), of(column.last, column_widths)
    far = [FAR * (width <= 0).float() for width in (before, after, left, right)]
    top_px = row.before * plot[1]
    bottom_px = (row.length - row.before) * plot[1]
    left_px = column.before * plot[0]
    right_px = (column.length - column.before) * plot[0]
    along = torch.minimum(top_px - before + far[0], bottom_px - after + far[1])
    across = torch.minimum(left_px - left + far[2], right_px - right + far[3])
    return torch.minimum(along, across), (along < across).float(), (before, after, left, right)


def _avenues(like: Tensor, rng: torch.Generator, pair: Tensor, border_px: Tensor, metre_px: Tensor) -> Tensor:
    """Distance to the edge of the avenues between zones; some borders have none."""
    size = (len(like), MOST_ZONES, MOST_ZONES)
    width, there = (torch.rand(size, generator=rng, device=like.device) for _ in range(2))
    half = 0.5 * (5 + 16 * torch.minimum(width, width.transpose(1, 2))) * metre_px[:, 0]
    gone = (torch.maximum(there, there.transpose(1, 2)) > 0.75).float()
    return border_px - of(pair, (half.clamp_min(0.6) - FAR * gone).flatten(1))


def _parcels(
    like: Tensor,
    rng: torch.Generator,
    row: Tiles,
    column: Tiles,
    plot: tuple[Tensor, Tensor],
    inset: tuple[Tensor, Tensor, Tensor, Tensor],
    use: Tensor,
    metre_px: Tensor,
) -> tuple[Tensor, ...]:
    """Plots cut into parcels: position in the parcel, its half sizes (px), and its number."""
    cells = MOST_ZONES * CYCLE * CYCLE
    before, after, left, right = inset
    long = (column.length * plot[0] - left - right).clamp_min(1.0)
    broad = (row.length * plot[1] - before - after).clamp_min(1.0)
    parcel_px = by_use("parcel_m", like.device)[use] * metre_px
    strips = by_use("strips", like.device)
    vary = of(column.first, 0.7 + 0.8 * table(like, rng, cells))
    n_u = (long / (parcel_px * vary)).round()
    # Built plots are two parcels deep at most, so that every parcel lies at a lane.
    n_v = (broad / (1.4 * parcel_px * vary)).round().clamp(1, 2)
    lot = of(column.first, table(like, rng, cells))
    cut = (lot < strips[use]).float() * (1 + of(column.first, table(like, rng, cells)) * 6).floor()
    n_u = torch.maximum(n_u.clamp(1, 24), cut)
    size_u, size_v = long / n_u, broad / n_v
    u, v = column.before * plot[0] - left, row.before * plot[1] - before
    i, j = (u / size_u).floor().clamp_min(0).minimum(n_u - 1), (v / size_v).floor().clamp_min(0).minimum(n_v - 1)
    number = torch.remainder(torch.remainder(column.first, cells).float() * 61 + i * 157 + j * 1009, PARTS)
    return u - (i + 0.5) * size_u, v - (j + 0.5) * size_v, 0.5 * size_u, 0.5 * size_v, flat_index(number, PARTS)
