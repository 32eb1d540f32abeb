"""Light from a side: shadows fall away from it and are as long as it is low."""

from __future__ import annotations

import torch

from xmatch.synth.worlds.light import lit_slopes, moved_max, shadow


def lights(*angles: float) -> tuple[torch.Tensor, torch.Tensor]:
    angle = torch.tensor(angles).view(-1, 1, 1, 1)
    return angle.cos(), angle.sin()


def test_a_tower_throws_its_shadow_away_from_the_light_as_far_as_the_light_is_low():
    height = torch.zeros(2, 1, 64, 64)
    height[:, :, 30:34, 30:34] = 6.0
    cos, sin = lights(0.0, 0.0)
    dark = shadow(height, cos, sin, torch.tensor([1.0, 3.0]).view(2, 1, 1, 1))
    assert dark[0, 0, 32, 25:30].min() == 1  # the light stands to the right, the shadow falls to the left
    assert dark[0, 0, 32, :24].max() == 0 and dark[0, 0, 32, 34:].max() == 0
    assert dark[0].sum() > 1.5 * dark[1].sum()


def test_doubling_finds_what_looking_at_every_step_would():
    height = 12 * torch.rand((1, 1, 40, 40), generator=torch.Generator().manual_seed(1))
    cos, sin = lights(0.0)
    steps = [torch.roll(height, -k, 3)[..., :8] - 0.7 * k for k in range(1, 33)]
    slow = torch.stack(steps).amax(0)
    fast = moved_max(height, cos, sin, torch.tensor(0.7).view(1, 1, 1, 1))
    assert torch.allclose(fast[..., :8], slow, atol=1e-4)


def test_slopes_towards_the_light_are_brighter_than_level_ground_and_others_darker():
    ridge = 20 - (torch.arange(40.0) - 20).abs().view(1, 1, 1, -1).expand(1, 1, 40, 40) * 0.5
    cos, sin = lights(0.0)
    lit = lit_slopes(ridge, cos, sin, torch.ones(1, 1, 1, 1))[0, 0, 20]
    assert lit[30] > 1.1 > 0.9 > lit[10]
    assert torch.allclose(lit_slopes(torch.zeros_like(ridge), cos, sin, torch.ones(1, 1, 1, 1)), torch.ones(1))
