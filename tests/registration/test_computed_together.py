"""A pair has one answer: by OpenCV, by torch alone, and by torch beside others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import corner_error_px, inverted, pose, scene, seen_from, view
from two_sensors import two_sensor_pairs

from xmatch.matchers import structural
from xmatch.matchers.base import SearchRange
from xmatch.matchers.search.settings import SearchSettings
from xmatch.ops.batching import run_together, together
from xmatch.ops.devices import TORCH_ON_CPU
from xmatch.registration.pose_selection import align
from xmatch.registration.tie_points import tie_points, tied
from xmatch.registration.tie_points_on_device import described, matched, matched_tiles
from xmatch.registration.windows import NARROW, Windows

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = [TORCH_ON_CPU, pytest.param("cuda", marks=NEEDS_GPU)]
SAME_PX = 0.1
WITHIN = SearchRange(max_angle_deg=50, min_scale=0.85, max_scale=1.2)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """A search that takes a tenth of the time."""
    settings = SearchSettings(side_px=110, angle_step_deg=10.0, scale_step=1.2, found=6, refined=3, kept=2)
    monkeypatch.setattr(structural, "EDGE_SEARCH", settings)


def pairs() -> list[tuple]:
    """(fixed, moving) of two sensors and of unlike sizes."""
    ground = scene(150, 128, seed=4)
    turned = seen_from(inverted(ground), pose(150, 128, turn_deg=25, scale=1.1, shift=(4, -3)))
    return [pair[:2] for world in ("region", "tissue") for pair in two_sensor_pairs(1, 136, world, seed=0)] + [
        (view(ground), turned)
    ]


def alignment(pair, device):
    """What becomes of a pair on a device, from views to tie points."""
    fixed, moving = pair
    matches = structural.Structural(device=device)(fixed, moving, WITHIN)
    return align(fixed, moving, matches, seed=0, threads=1, device=device)


def beside_each_other(them, device, at_once):
    numbered = run_together(lambda one: alignment(one[1], device), list(enumerate(them)), at_once)
    return [found for (_, _), found in sorted(numbered, key=lambda ended: ended[0][0])]


def assert_same(found, expected, moving) -> None:
    assert corner_error_px(found.best.matrix, expected.best.matrix, moving) < SAME_PX
    assert found.best.log_odds == pytest.approx(expected.best.log_odds, abs=0.05)
    for name in ("ties", "regions"):
        one, other = getattr(found, name), getattr(expected, name)
        assert len(one) == len(other) > 0
        assert np.median(np.linalg.norm(one.moving_xy - other.moving_xy, axis=1)) < SAME_PX


@pytest.mark.parametrize("device", DEVICES)
def test_both_implementations_batched_or_not_find_the_same_poses(device):
    them = pairs()
    by_opencv = [alignment(pair, "cpu") for pair in them]
    alone = [alignment(pair, device) for pair in them]
    beside = beside_each_other(them, device, at_once=3)
    for pair, expected, *found in zip(them, by_opencv, alone, beside, strict=True):
        for one in found:
            assert_same(one, expected, pair[1])


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_answers_as_batches_of_one(device):
    them = [*pairs(), pairs()[0]]
    alone, beside = (beside_each_other(them, device, at_once) for at_once in (1, 4))
    for pair, one, other in zip(them, alone, beside, strict=True):
        assert_same(one, other, pair[1])


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_really_one(device, monkeypatch):
    """Searches of six pairs are at most three calls, not six."""
    from xmatch.matchers.search import on_device

    given, propose = [], on_device.propose
    monkeypatch.setattr(on_device, "propose", lambda asked, *rest: given.append(len(asked)) or propose(asked, *rest))
    beside_each_other([pairs()[0]] * 6, device, at_once=6)
    assert sum(given) == 6 and given[0] >= 3 and len(given) <= 3


@pytest.mark.parametrize("device", DEVICES)
def test_want_of_memory_halves_a_batch_and_changes_no_answer(device, monkeypatch):
    from xmatch.matchers.search import on_device

    given, propose = [], on_device.propose

    def short_of_memory(asked, *rest):
        given.append(len(asked))
        if len(asked) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return propose(asked, *rest)

    them = pairs()[:2]
    expected = beside_each_other(them, device, at_once=1)
    monkeypatch.setattr(on_device, "propose", short_of_memory)
    found = together(on_device.propose, [(*pair, WITHIN) for pair in them], structural.EDGE_SEARCH, device)
    assert given == [2, 1, 1]
    for pair, poses, one in zip(them, found, expected, strict=True):
        assert corner_error_px(poses[0].matrix, one.best.matrix, pair[1]) < 3


@pytest.mark.parametrize("device", DEVICES)
def test_tiles_of_any_size_are_matched_in_one_call_as_each_alone(device):
    windows = Windows(48, 8, 3)
    sizes = [(150, 128), (130, 128), (150, 128), (60, 60)]
    tiles = [
        (view(scene(*size, seed=seed)), seen_from(inverted(scene(*size, seed=seed)), pose(*size, shift=(2, -1))))
        for seed, size in enumerate(sizes)
    ]
    found = [tied(one, np.eye(3)) for one in matched_tiles(tiles, windows, device)]
    assert len(found[-1][0]) == 0, "too small for a window"
    for tile, (ties, there_and_back) in zip(tiles, found, strict=True):
        expected, as_far = tie_points(*tile, np.eye(3), windows)
        assert len(ties) == len(expected)
        np.testing.assert_allclose(ties.moving_xy, expected.moving_xy, atol=SAME_PX)
        np.testing.assert_allclose(there_and_back, as_far, atol=SAME_PX)


def test_what_does_not_fit_is_cut_and_stays_the_same(monkeypatch):
    images = [(pair[0].image, pair[0].valid) for pair in pairs()]
    whole = described(images, TORCH_ON_CPU)
    monkeypatch.setattr("xmatch.ops.frames.ON_CPU", 2**20)
    for one, other in zip(described(images, TORCH_ON_CPU), whole, strict=True):
        torch.testing.assert_close(one.planes, other.planes, atol=1e-4, rtol=0)
    assert len(matched([(one, one) for one in whole], NARROW)) == 3
