"""The networks that ship find what is known: what their weights are worth, and not only that they can be loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import corner_error_px, inverted, pose, seen_from, view
from scenes import ground

from xmatch.matchers.base import SearchRange
from xmatch.matchers.registry import load_matcher
from xmatch.networks.loading import load_network
from xmatch.networks.xmatch.runner import Network

SIZE = (270, 200)
"""(width, height) px: no side a multiple of what the networks take, and no two alike."""
NARROW = SearchRange(max_angle_deg=12, min_scale=0.95, max_scale=1.1)
SHEAR = np.array([[1.0, 0.05, -4.0], [0.0, 0.96, 5.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.ascontiguousarray(ground(3)[60 : 60 + SIZE[1], 90 : 90 + SIZE[0]])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "truth",
    [pose(*SIZE, shift=(6.3, -3.6)), pose(*SIZE, turn_deg=5, scale=1.05, shift=(2, 3)) @ SHEAR],
    ids=["shift", "affine"],
)
def test_the_dense_network_finds_a_known_map_to_a_fifth_of_a_px(image, truth):
    moving = seen_from(image, truth)
    network = Network(load_network("xmatch-small").network)
    fixed = network.encode([image], [np.ones_like(image, bool)])
    found = network.match(fixed, np.where(moving.valid, inverted(moving.image), 0).astype(np.float32), moving.valid)
    true = np.column_stack([found.fixed_xy, np.ones(len(found))]) @ np.linalg.inv(truth).T[:, :2]
    off = (found.moving_xy - true)[found.certainty > 0.5]
    assert len(off) > 0.5 * len(found) > 1500
    assert (np.linalg.norm(off, axis=1) < 1).mean() > 0.85
    assert np.abs(off.mean(axis=0)).max() < 0.2


@pytest.mark.parametrize("name", ["xmatch-fields", "xmatch-small"])
def test_a_known_pose_is_found_to_half_a_px(image, name):
    truth = pose(*SIZE, turn_deg=9, scale=1.06, shift=(6.3, -3.6))
    moving = seen_from(image, truth)
    matches = load_matcher(name, device="cpu")(view(image), moving, NARROW, seed=0, threads=1)
    assert corner_error_px(matches.proposals[0].matrix, truth, moving) < 0.5
