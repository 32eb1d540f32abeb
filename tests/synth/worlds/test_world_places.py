"""Cells and hashes: whole, and without any order."""

from __future__ import annotations

import torch

from xmatch.synth.worlds.places import TABLE, cells, hashed, plane


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_cells_are_whole_and_their_borders_lie_where_the_number_changes():
    place = plane(torch.zeros(2, 1, 80, 80), rng(), 0.0)
    number, border = cells(place, torch.full((2, 1, 1, 1), 4.0), rng(1))
    assert number.min() >= 0 and number.max() < TABLE and 8 < len(number[0].unique()) < 45
    changes = number[..., 1:] != number[..., :-1]
    near = torch.minimum(border[..., 1:], border[..., :-1])
    assert near[changes].max() < 0.08 < border.max()


def test_hashes_spread_over_the_table():
    x, y = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    counts = torch.bincount(hashed(x, y).flatten(), minlength=TABLE)
    assert counts.max() <= 16 and (counts == 0).float().mean() < 0.05
