"""Land: shadows fall away from the light, radar and light see different things, labels stay inside."""

from __future__ import annotations

import torch

from xmatch.synth.worlds import make_world
from xmatch.synth.worlds.ground import shaded
from xmatch.synth.worlds.layout import TABLE, cells, hashed, plane


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_tower_throws_its_shadow_away_from_the_light_as_far_as_the_light_is_low():
    height = torch.zeros(2, 1, 64, 64)
    height[:, :, 30:34, 30:34] = 6.0
    east, north = torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    steep = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    dark = shaded(height, east, north, steep)
    assert dark[0, 0, 32, 26:30].mean() > 0.5  # the light stands to the right, the shadow falls to the left
    assert dark[0, 0, 32, 36:].max() < 0.05
    assert dark[0].sum() > 1.5 * dark[1].sum()


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


def test_radar_does_not_follow_brightness():
    scene = make_world("land", 8, 96, rng(2))
    light, radar = (scene.render(name, rng(3)).flatten(1) for name in ("optical", "sar"))
    alike = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(light, radar, strict=True)])
    assert alike.abs().mean() < 0.5
