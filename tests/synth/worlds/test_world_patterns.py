"""Cells, tiles, curves and noise: what they claim about distances and numbers."""

from __future__ import annotations

import torch

from xmatch.synth.worlds.patterns import (
    CYCLE,
    canvas,
    curves,
    flat_index,
    fractal,
    of,
    pixel_centres,
    tiles,
    zones,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_image_looks_up_its_own_table():
    number = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2).expand(3, 1, 1, 2)
    values = torch.arange(9.0).view(3, 3)
    assert of(flat_index(number, 3), values).flatten(1).tolist() == [[0, 2], [3, 5], [6, 8]]


def test_zones_belong_to_the_nearest_site_and_know_the_distance_to_their_border():
    like = canvas(1, 40, torch.device("cpu"))
    x, y = (place.expand_as(like) for place in pixel_centres(like))
    sites = torch.tensor([[[10.0, 20.0], [30.0, 20.0], [20.0, 300.0]]])
    zone = zones(x, y, sites)
    assert zone.number[0, 0, 20].tolist() == [0.0] * 20 + [1.0] * 20
    assert torch.allclose(zone.border_px[0, 0], (x[0, 0] - 20).abs(), atol=1e-3)
    assert of(zone.pair, torch.arange(9.0).view(1, 9))[0, 0, 5, [0, 39]].tolist() == [1.0, 3.0]


def test_tiles_cover_the_line_without_gap_even_where_their_ends_are_moved():
    along = (2 + torch.arange(400) / 50).view(1, 1, 1, -1)
    jitter = 0.8 * torch.rand((1, CYCLE), generator=rng(1)) - 0.4
    row = tiles(along, torch.zeros_like(along, dtype=torch.int32), jitter)
    number, before, length = (part.flatten() for part in row[:3])
    assert (number.diff() >= 0).all() and (number.diff() <= 1).all()
    assert (before >= 0).all() and (before <= length).all()
    start = number + jitter[0][number.long()]
    assert torch.allclose(along.flatten() - before, start, atol=1e-5)


def test_curves_tell_the_distance_to_a_line_with_its_sign():
    line = curves(canvas(4, 96, torch.device("cpu")), rng(1), 3, (0.8, 2.0), 0.05, (1.0,))
    slope_x, slope_y = line[..., 1:-1, 2:] - line[..., 1:-1, :-2], line[..., 2:, 1:-1] - line[..., :-2, 1:-1]
    steep = 0.5 * (slope_x**2 + slope_y**2).sqrt()
    assert (steep[..., 4:-4, 4:-4].mean() - 1).abs() < 0.1


def test_fractal_noise_has_unit_variance_and_is_smoother_the_steeper_its_spectrum():
    like = canvas(2, 64, torch.device("cpu"))
    noise = fractal(like, rng(1), torch.tensor([0.5, 2.0]).view(2, 1, 1, 1))
    assert torch.allclose(noise.std((2, 3)), torch.ones(2, 1), atol=1e-4)
    step = (noise[..., 1:] - noise[..., :-1]).abs().mean((1, 2, 3))
    assert step[0] > 3 * step[1]
