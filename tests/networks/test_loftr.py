"""LoFTR as a network that finds correspondences: kornia's own answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.feature import LoFTR

from xmatch.errors import UsageError
from xmatch.networks.loftr.config import SIZES, LoftrConfig
from xmatch.networks.loftr.entry import LOFTR as ENTRY
from xmatch.networks.loftr.entry import config_of
from xmatch.networks.loftr.network import TrainedLoftr
from xmatch.networks.loftr.runner import LoftrRunner

TINY = LoftrConfig(initial_dim=32, block_dims=(32, 16, 32), heads=1, layers=1)


@pytest.fixture(scope="module")
def runner():
    """Random weights, with which cells that are each other's nearest are a match however unsure."""
    torch.manual_seed(0)
    network = TrainedLoftr(TINY)
    network.coarse_matching.thr = 0.0
    return LoftrRunner(network)


def image(seed: int, height: int = 192, width: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def everywhere(one: np.ndarray) -> np.ndarray:
    return np.ones(one.shape, bool)


def test_correspondences_are_kornias(runner):
    fixed = image(1)
    moving = fixed[16:176, 8:248]
    found = runner.match(*(runner.describe(one, everywhere(one)) for one in (fixed, moving)))
    with torch.inference_mode():
        by_hand = LoFTR.forward(runner.network, {"image0": as_tensor(fixed), "image1": as_tensor(moving)})
    ends = by_hand["keypoints1"].numpy()
    inside = ((ends >= 0) & (ends < (240, 160))).all(1)
    assert len(found) > 5
    np.testing.assert_allclose(found.fixed_xy, by_hand["keypoints0"].numpy()[inside], atol=1e-4)
    np.testing.assert_allclose(found.moving_xy, ends[inside], atol=1e-4)
    np.testing.assert_allclose(found.certainty, by_hand["confidence"].numpy()[inside], atol=1e-4)


def as_tensor(one: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(one)[None, None]


def test_an_image_that_meets_many_is_described_once(runner, monkeypatch):
    counted, extract = [], runner.network.extract_features
    monkeypatch.setattr(runner.network, "extract_features", lambda one: counted.append(1) or extract(one))
    described = runner.describe(image(0), everywhere(image(0)))
    for seed in (1, 2):
        runner.match(described, runner.describe(image(seed), everywhere(image(seed))))
    assert len(counted) == 3


def test_sizes_are_told_from_shapes_and_the_training_by_its_name():
    for config in (TINY, SIZES["loftr-small"]):
        state = TrainedLoftr(config).state_dict()
        assert config_of(state) == config
    for training, as_meant in (("outdoor", False), ("indoor_new", True)):
        assert ENTRY.config_told(state, training)["temp_bug_fix"] is as_meant
    with pytest.raises(UsageError, match="which training.*--training outdoor|indoor|indoor_new|minima"):
        ENTRY.config_told(state, None)
