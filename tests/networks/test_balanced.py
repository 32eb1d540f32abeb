"""Matches drawn of a dense warp: spread, seeded, on valid pixels, with the certainty that the network had."""

from __future__ import annotations

import dataclasses

import made_roma
import numpy as np
import pytest
import torch

from xmatch.networks.balanced import drawn, neighbours, spread
from xmatch.networks.base import DenseWarp
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.grids import cell_centres
from xmatch.networks.roma.network import Roma
from xmatch.networks.roma.runner import RomaRunner
from xmatch.networks.tiny_roma.config import TinyRomaConfig
from xmatch.networks.tiny_roma.network import TinyRoma
from xmatch.networks.tiny_roma.runner import TinyRomaRunner


def identity(height: int, width: int, logits: float = 0.0) -> DenseWarp:
    warp = cell_centres(height, width, torch.zeros(1))[None]
    return DenseWarp(1, warp, torch.full((1, height, width), logits))


def test_positions_are_px_of_the_images_as_given_whatever_the_size_of_the_warp():
    fixed, moving = np.ones((60, 120), bool), np.ones((30, 40), bool)
    found = drawn(identity(20, 20, 2.0), None, fixed, moving, 100)
    np.testing.assert_allclose(found.fixed_xy / (120, 60), found.moving_xy / (40, 30), atol=1e-6)
    assert len(found) == 100 and found.fixed_xy[:, 0].max() > 100
    np.testing.assert_allclose(found.certainty, 1 / (1 + np.exp(-2.0)), atol=1e-6)


def test_both_directions_are_drawn_and_only_what_is_valid_in_both():
    fixed, moving = np.ones((50, 50), bool), np.ones((50, 50), bool)
    fixed[:, :10], moving[:20] = False, False
    back = dataclasses.replace(identity(10, 10), certainty=torch.full((1, 10, 10), 4.0))
    found = drawn(identity(10, 10, 1.0), back, fixed, moving, 10_000)
    assert found.fixed_xy[:, 0].min() >= 10 and found.moving_xy[:, 1].min() >= 20
    assert len(set(found.certainty.round(3))) == 2 and len(found) == 2 * 8 * 6
    assert len(drawn(identity(10, 10), back, fixed, ~np.ones((50, 50), bool), 100)) == 0


def test_the_same_seed_draws_the_same_and_what_is_impossible_is_never_drawn():
    matches, certainty = torch.rand(3000, 4) * 2 - 1, torch.rand(3000)
    certainty[::3] = 0
    first, again, other = (spread(matches, certainty, 200, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (certainty[first] > 0).all() and len(set(first.tolist())) == 200


def test_a_crowd_is_thinned_and_loners_are_left_out():
    torch.manual_seed(0)
    crowd, rest = 0.05 * torch.randn(10_000, 4), torch.rand(10_000, 2) * 2 - 1
    spread_out = torch.cat([rest, rest], 1)
    loners = torch.tensor([[0.9, 0.9, -0.9, -0.9], [-0.9, 0.9, 0.9, -0.9]])
    found = spread(torch.cat([crowd, spread_out, loners]), torch.ones(20_002), 2500)
    assert (found >= 10_000).float().mean() > 0.8 and (found < 20_000).all()


def test_neighbours_are_counted_by_the_kernel():
    matches = torch.zeros(16, 4)
    matches[8:, 0] = 0.1  # one standard deviation away; every eighth counts
    torch.testing.assert_close(neighbours(matches)[0], torch.tensor(8 * (1 + np.exp(-0.5))), check_dtype=False)


@pytest.fixture(scope="module", params=["roma", "tiny-roma"])
def runner(request):
    torch.manual_seed(0)
    if request.param == "tiny-roma":
        return TinyRomaRunner(TinyRoma(TinyRomaConfig(16, 16)).eval())
    network, backbone = Roma(dataclasses.replace(made_roma.CONFIG, coarse_px=112, fine_px=112)), Dino(made_roma.DINO)
    network.see_with(backbone)
    return RomaRunner(network)


def test_a_runner_takes_any_two_sizes_and_matches_nothing_that_is_not_valid(runner):
    rng = np.random.default_rng(0)
    fixed, moving = rng.random((91, 150), np.float32), rng.random((120, 77), np.float32)
    shown = np.ones(moving.shape, bool)
    shown[:, :30] = False
    described = runner.describe(fixed, np.ones(fixed.shape, bool))
    found = runner.match(described, runner.describe(moving, shown))
    assert len(found) and found.moving_xy[:, 0].min() >= 30 and ((found.certainty >= 0) & (found.certainty <= 1)).all()
    assert (found.fixed_xy >= 0).all() and (found.fixed_xy < (150, 91)).all()
    other = np.where(shown, moving, 1 - moving)
    again = runner.match(described, runner.describe(other, shown))
    np.testing.assert_array_equal(found.moving_xy, again.moving_xy)
    assert len(runner.match(described, runner.describe(moving, ~np.ones(moving.shape, bool)))) == 0
