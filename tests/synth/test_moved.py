"""Things that moved: what the warp says of them is what moving shows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import TrainingPairs, draw_pairs, with_things_moved
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Sensors, Shapes


def drawn(share: float = 0.0, count: int = 6) -> TrainingPairs:
    difficulty = dataclasses.replace(Difficulty.EASY, max_shift=0.2, max_angle_deg=20, moved=share)
    return draw_pairs(Mixture([Shapes(Sensors(["visible"]))]), count, 64, device_rng("cpu", 0), difficulty)


def seen(pairs: TrainingPairs, images: torch.Tensor) -> torch.Tensor:
    """(B, S, S) at the partners of fixed's px."""
    return F.grid_sample(images, pairs.warp, align_corners=False)[:, 0]


@pytest.fixture(scope="module")
def pair_before_and_after() -> tuple[TrainingPairs, TrainingPairs]:
    before = drawn()
    # Noise, so that no px is mistaken for its neighbour.
    noise = torch.rand(before.moving.shape, generator=torch.Generator().manual_seed(1))
    before = dataclasses.replace(before, moving=noise)
    return before, with_things_moved(before, np.random.default_rng(0), 1.0)


def test_what_moved_is_found_where_the_warp_says_and_all_else_where_it_was(pair_before_and_after):
    before, after = pair_before_and_after
    moved = (before.warp - after.warp).abs().amax(-1) > 1e-6
    assert ((moved & after.covisible).flatten(1).sum(1) > 20).all(), "a thing moves in every pair, and is seen there"
    difference = (seen(before, before.moving) - seen(after, after.moving)).abs()
    assert difference[after.covisible].max() < 1e-4


def test_what_is_covered_is_not_vouched_for(pair_before_and_after):
    before, after = pair_before_and_after
    lost = before.covisible & ~after.covisible
    stayed = (before.warp - after.warp).abs().amax(-1) < 1e-6
    changed = (seen(before, before.moving) - seen(after, after.moving)).abs() > 1e-3
    assert not (changed & stayed & after.covisible).any() and (lost & stayed & changed).any()
    assert not (after.covisible & ~before.covisible).any()
    assert np.isnan(after.matrices).all() and not np.isnan(before.matrices).any()


def test_only_a_share_of_the_pairs_is_changed():
    still, some = drawn(0.0, 40), drawn(0.5, 40)
    changed = (still.warp != some.warp).flatten(1).any(1)
    assert torch.equal(still.fixed, some.fixed) and 10 < changed.sum() < 30
    assert torch.equal(still.moving[~changed], some.moving[~changed])
    assert torch.equal(still.covisible[~changed], some.covisible[~changed])
