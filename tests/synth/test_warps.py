"""Truth of the warps: what lies at a px of fixed lies at its partner in moving, to a fiftieth of a px."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.pairs import look_twice
from xmatch.synth.resampling import all_valid_at, bilinear, within
from xmatch.synth.sources.aligned import Aligned, everywhere
from xmatch.synth.warps import centres, draw_warps, mapped, steps_px

SIZE, BASE = 48, 72
HARD = Difficulty(max_angle_deg=180.0, shear=0.2, perspective=0.3, elastic=0.04)


def host(seed=0):
    return np.random.default_rng(seed)


def warps(difficulty=HARD, count=64, seed=0):
    return draw_warps(count, SIZE, BASE, host(seed), difficulty)


def coordinates(count, size):
    """(B, 2, size, size) images whose grey levels are their own x and y, in [0, 1]."""
    return (centres(size, "cpu") * 0.5 + 0.5).repeat(count, 1, 1, 1)


def test_a_round_trip_through_the_base_returns_to_the_px():
    w = warps()
    there = w.moving_places(SIZE, "cpu")
    back = w.to_moving(there)
    assert (back - centres(SIZE, "cpu")).abs().max() * SIZE / 2 < 0.002


def test_partners_show_the_same_place_of_the_base():
    """Moving's image of the base's coordinates, looked up at the partners, equals fixed's own."""
    w = warps()
    fixed_at, moving_at = w.fixed_places(SIZE, "cpu"), w.moving_places(SIZE, "cpu")
    warp = w.to_moving(fixed_at)
    shown = bilinear(moving_at, warp)
    inside = within(warp, 1 - 1 / SIZE)[:, 0]
    # Only where no perspective is left is interpolating between four px exact.
    affine = torch.as_tensor(np.abs(w.moving_to_base[:, 2, :2]).max(1) < 0.02)
    error_px = (shown - fixed_at).abs().amax(1) * BASE / 2
    assert inside.float().mean() > 0.3
    assert error_px[affine][inside[affine]].max() < 0.02


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("axis", (0, 1))
def test_what_fixed_shows_moving_shows_at_the_warp(seed, axis, monkeypatch):
    """Through the whole line of sampling: images that carry a coordinate as grey level, without degradation."""
    monkeypatch.setattr("xmatch.synth.pairs.degraded", lambda image, *_: (image, None))
    bounds = Difficulty(max_angle_deg=180.0, perspective=0.0, elastic=0.04, noise=0.0)
    base = coordinates(32, BASE)[:, axis : axis + 1]
    valid = everywhere(base)
    aligned = Aligned(base, base, valid, valid, (("a", "b"),) * 32, ("-",) * 32)
    drawn = look_twice(aligned, SIZE, torch.Generator().manual_seed(seed), host(seed), bounds)
    shown = torch.nn.functional.grid_sample(drawn.moving, drawn.warp, align_corners=False)
    error_px = (shown - drawn.fixed)[:, 0].abs() * BASE
    # The border px of moving have no neighbour to interpolate with.
    inner = drawn.covisible & (drawn.warp.abs() < 1 - 1 / SIZE).all(-1)
    assert inner.float().mean() > 0.3
    assert error_px[inner].max() < 0.02


def test_the_drawn_motion_keeps_to_its_bounds():
    bounds = Difficulty(max_angle_deg=30.0, max_scale=1.5, max_shift=0.1, shear=0.0, perspective=0.0, elastic=0.0)
    m = draw_warps(400, SIZE, BASE, host(), bounds).matrices
    scale = np.sqrt(np.linalg.det(m[:, :2, :2]))
    turn = np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0]))
    assert np.abs(turn).max() <= 30 and np.abs(turn).max() > 28
    assert scale.max() <= 1.5 and scale.min() >= 1 / 1.5 and scale.max() > 1.45
    assert (np.linalg.det(m[:, :2, :2]) > 0).all(), "never mirrored"


def test_half_of_the_pairs_lie_inside_the_base():
    w = warps(count=400)
    inside = within(w.moving_places(SIZE, "cpu")).flatten(1).all(1)
    assert 0.45 < inside.float().mean() < 0.95


def test_steps_tell_how_many_base_px_a_px_covers():
    half = np.diag([0.5, 0.5, 1.0])[None]
    assert steps_px(half, size=48, base_size=72) == pytest.approx(0.75)


def test_places_behind_the_horizon_are_far_outside():
    tilted = np.array([[[1, 0, 0], [0, 1, 0], [1.0, 0, 1.0]]])
    there = mapped(tilted, torch.tensor([[-1.5, 0.5], [0.0, 0.0]])[None, :, None])
    assert there[0, :, 0, 0].abs().max() > 100
    assert there[0, 0, 0, 1] == pytest.approx(1 / 3)


def test_one_invalid_neighbour_is_enough_to_doubt_a_px():
    valid = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    valid[0, 0, 3, 4] = False
    grid = centres(8, "cpu")
    assert all_valid_at(valid, grid).sum() == 63
    assert all_valid_at(valid, grid + 0.5 * 2 / 8).sum() == 60
