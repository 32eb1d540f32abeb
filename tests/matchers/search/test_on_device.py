"""The search on a device and the one by numpy and OpenCV find the same poses for the same pairs, in the same order."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_views import corner_error_px, inverted, pose, scene, seen_from, view
from two_sensors import two_sensor_pairs

from xmatch.matchers.base import Proposal, SearchRange
from xmatch.matchers.search import descriptors, fourier, on_device, pooled_descriptors
from xmatch.matchers.search.gauss_newton import LEVELS, PoseRefiner
from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
from xmatch.matchers.search.on_device import descriptors as many_descriptors
from xmatch.matchers.search.on_device import fourier as many_fourier
from xmatch.matchers.search.on_device.descriptors import Views
from xmatch.matchers.search.on_device.gauss_newton import refine
from xmatch.matchers.search.on_device.poses import Poses
from xmatch.matchers.search.settings import SearchSettings
from xmatch.matchers.structural import propose
from xmatch.networks.fieldnet.config import FieldNetConfig
from xmatch.networks.fieldnet.network import FieldNet

SAME_PX = 0.1
COARSE = SearchSettings(side_px=110, angle_step_deg=10.0, scale_step=1.2, found=6, refined=3, kept=2)
SEARCHED = {"side_px": 110, "angle_step_deg": 10.0, "scale_step": 1.2, "keep": 6}
RANGES = {
    "everywhere": SearchRange(min_scale=0.85, max_scale=1.2),
    "mirrored": SearchRange(max_angle_deg=50, min_scale=1.0, max_scale=1.0, mirror=True),
    "near": SearchRange(centre=pose(112, 112, turn_deg=5, shift=(3, 2)), max_angle_deg=50, near=True, max_shift=0.2),
}


def of_unlike_sizes() -> list[tuple]:
    """(fixed, moving): one with holes, and a part of a scene against the whole of it."""
    ground = scene(150, 120, seed=4)
    holed = np.ones(ground.shape, bool)
    holed[30:60, 100:140] = False
    other = scene(96, 140, seed=5)
    small = view(other[40:120, 10:80])
    return [
        (view(ground, holed), seen_from(inverted(ground), pose(150, 120, turn_deg=25, scale=1.1, shift=(4, -3)))),
        (small, view(1 - other)),
    ]


def asked(pairs, ranges) -> list[tuple]:
    return [(*pair, within) for pair, within in zip(pairs, ranges, strict=True)]


def pairs_of_two_sensors() -> list[tuple]:
    return [pair for world in ("region", "tissue") for pair in two_sensor_pairs(1, 112, world, seed=0)]


def assert_same(found: list[Proposal], expected: list[Proposal], moving) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert corner_error_px(one.matrix, other.matrix, moving) < SAME_PX
        assert one.score == pytest.approx(other.score, rel=1e-3)


@pytest.mark.parametrize("name", ["edge_descriptors", "pooled_edge_descriptors"])
def test_descriptors_are_the_same(name, device):
    module = descriptors if name == "edge_descriptors" else pooled_descriptors
    views = [v for pair in of_unlike_sizes() for v in pair]
    factors = np.array([0.7, 1.2, 0.4, 0.6])
    small = [fourier.resized(v, factor)[0] for v, factor in zip(views, factors, strict=True)]
    sizes = np.array([image.shape for image, _ in small])
    frames, images, valid = Views.of(views, torch.device(device)).resized(np.arange(4), sizes, factors < 1)
    found = getattr(many_descriptors, name)(frames, images, valid)
    for i, one in enumerate(small):
        expected = getattr(module, name)(*one)
        height, width = found.sizes[i]
        assert expected.valid.shape == (height, width)
        assert torch.count_nonzero(found.planes[i]) == torch.count_nonzero(found.planes[i, :, :height, :width])
        planes = found.planes[i, :, :height, :width].permute(1, 2, 0).cpu().numpy()
        np.testing.assert_allclose(planes, expected.planes, atol=2e-3)
        np.testing.assert_array_equal(found.valid[i, :height, :width].cpu().numpy(), expected.valid)


@pytest.mark.parametrize("within", RANGES.values(), ids=RANGES.keys())
def test_the_search_finds_the_same_poses_in_the_same_order(within, device):
    pairs = of_unlike_sizes()
    fixed, moving = (Views.of([pair[side] for pair in pairs], torch.device(device)) for side in (0, 1))
    found = many_fourier.search(fixed, moving, [within] * len(pairs), **SEARCHED).proposals()
    for pair, poses in zip(pairs, found, strict=True):
        assert_same(poses, fourier.search(*pair, within, **SEARCHED), pair[1])


@pytest.mark.parametrize("level", LEVELS, ids=["coarse", "fine"])
def test_refinement_ends_at_the_same_poses(level, device):
    pairs = pairs_of_two_sensors()
    starts = [
        [Proposal(pose(112, 112, turn_deg=turn, scale=scale, shift=shift) @ truth, 0.0) for turn, scale, shift in begun]
        for (_, _, truth), begun in zip(
            pairs, [[(2, 1.02, (3, -2)), (0, 1, (300, 0))], [(-1, 0.98, (-2, 2)), (90, 1, (0, 0))]], strict=True
        )
    ]
    matrices = torch.tensor(np.array([[one.matrix for one in begun] for begun in starts]), device=device)
    given = Poses(matrices, torch.zeros(2, 2, device=device), torch.ones(2, 2, dtype=torch.bool, device=device))
    fixed, moving = (Views.of([pair[side] for pair in pairs], torch.device(device)) for side in (0, 1))
    found = refine(fixed, moving, given, level).proposals()
    for (one, other, _), begun, poses in zip(pairs, starts, found, strict=True):
        assert_same(poses, [PoseRefiner(one, other, (level,))(start) for start in begun], other)
        assert 0.5 < corner_error_px(poses[0].matrix, begun[0].matrix, other) < 9


def test_pairs_of_any_size_and_range_are_proposed_the_same_poses_as_each_alone(device):
    """The one that counts: from views to what is handed on, pairs of two sensors and others in one call."""
    pairs = [pair[:2] for pair in pairs_of_two_sensors()] + of_unlike_sizes()[:1]
    turned = SearchRange(max_angle_deg=50, min_scale=0.85, max_scale=1.2)
    ranges = [turned, turned, replace(RANGES["near"], max_angle_deg=40)]
    found = on_device.propose(asked(pairs, ranges), COARSE, device)
    for pair, within, poses in zip(pairs, ranges, found, strict=True):
        assert_same(poses, propose(*pair, within, COARSE, threads=1), pair[1])
    truth = pairs_of_two_sensors()[0][2]
    assert corner_error_px(found[0][0].matrix, truth, pairs[0][1]) < 3, "not the same nonsense either"


def test_what_a_network_draws_is_searched_by_too(device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    model = FieldNet(FieldNetConfig(channels=(8, 8, 8, 8), blocks=(0,) * 4, maps=2))
    model.log_weights.data[2:] = -2
    pairs, within = of_unlike_sizes(), SearchRange(max_angle_deg=40, min_scale=0.9, max_scale=1.1)
    describe = on_device.describer(LearnedDescriptor(model, device))
    found = on_device.propose(asked(pairs, [within] * len(pairs)), COARSE, device, describe)
    descriptor = LearnedDescriptor(copy.deepcopy(model), "cpu")
    for pair, poses in zip(pairs, found, strict=True):
        assert_same(poses, propose(*pair, within, COARSE, descriptor, threads=1), pair[1])


def test_nothing_is_proposed_where_nothing_can_be(device):
    """A view without a valid px, and a scale at which moving is no image any more, beside a pair that can be found."""
    image = scene(112, 112, seed=2)
    sound = view(image), view(inverted(image))
    empty = view(image, np.zeros(image.shape, bool)), view(image)
    plain = SearchRange(max_angle_deg=10, min_scale=1.0, max_scale=1.0)
    tiny = replace(plain, centre=np.diag([0.05, 0.05, 1.0]))
    found = on_device.propose(asked([empty, sound, sound], [plain, tiny, plain]), COARSE, device)
    assert [len(poses) > 0 for poses in found] == [False, False, True]
    assert on_device.propose(asked([sound], [tiny]), COARSE, device) == [[]]
    assert on_device.propose([], COARSE, device) == []
