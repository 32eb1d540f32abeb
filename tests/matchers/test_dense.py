"""The learned matcher's way around its network: sizes, turns and masks are undone exactly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from made_views import scene, view

from tests.networks.test_xmatch import TINY
from xmatch.correspondences import Correspondences
from xmatch.errors import ModelError, UsageError
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.matchers.base import SearchRange
from xmatch.matchers.dense import FINER_PX, SIDE_PX, DenseMatcher
from xmatch.matchers.registry import load_matcher
from xmatch.matchers.weights import open_matcher
from xmatch.networks.loading import load_network
from xmatch.networks.xmatch.network import XMatch
from xmatch.networks.xmatch.runner import Network

SIDE = 112


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return scene(SIDE, SIDE)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(XMatch(TINY))


@pytest.mark.parametrize("size", [(64, 64), (50, 71)])
def test_what_is_not_valid_is_neither_matched_nor_matched_to(network, image, size):
    part = image[: size[0], : size[1]]
    valid = np.ones(size, bool)
    valid[:, :9] = False
    found = network.match(network.encode([part], [valid]), part, valid)
    assert len(found) > 100
    for xy in (found.fixed_xy, found.moving_xy):
        assert xy[:, 0].min() > 9 and xy[:, 0].max() < size[1] and xy[:, 1].max() < size[0]


def test_an_untrained_network_claims_nothing_absurd(network, image):
    matches = DenseMatcher("tiny", network)(view(image), view(image.T), SearchRange())
    assert all(SearchRange().allows(h.matrix, view(image), view(image)) for h in matches.proposals)


@pytest.mark.parametrize(("finer_certainty", "sides"), [(0.9, [384, 512]), (0.2, [384])])
def test_the_surest_pose_is_matched_on_finer_views_while_more_agrees(
    network, image, monkeypatch, finer_certainty, sides
):
    asked = []

    def same_place(encoded, moving, valid):
        asked.append(moving.shape[0])
        xy = np.argwhere(valid)[::97, ::-1] + 0.5
        return Correspondences(xy, xy, np.full(len(xy), 0.9 if asked[-1] == SIDE_PX else finer_certainty, np.float32))

    monkeypatch.setattr(network, "match", same_place)
    matches = DenseMatcher("tiny", network)(view(image), view(image), SearchRange())
    assert [side for side in asked if side != SIDE_PX] == sides
    kept = FINER_PX[-1] if finer_certainty == 0.9 else SIDE_PX
    assert 0.9 < len(matches.correspondences) / (kept**2 / 97) <= 1
    np.testing.assert_allclose(matches.proposals[0].matrix, np.eye(3), atol=0.02)


def metadata(**changes) -> WeightsMetadata:
    return WeightsMetadata("tiny", "xmatch", "Apache-2.0", config={**dataclasses.asdict(TINY), **changes})


def test_saved_weights_match_as_they_did_before(network, image, tmp_path):
    save_weights(tmp_path / "tiny.safetensors", network.model.state_dict(), metadata())
    again = Network(load_network(tmp_path / "tiny.safetensors").network)
    valid = np.ones_like(image, bool)
    one, other = (n.match(n.encode([image], [valid]), image.T, valid) for n in (network, again))
    np.testing.assert_array_equal(one.moving_xy, other.moving_xy)
    np.testing.assert_array_equal(one.certainty, other.certainty)


def test_weights_choose_their_matcher(network, tmp_path):
    path = str(tmp_path / "tiny.safetensors")
    save_weights(path, network.model.state_dict(), metadata())
    assert isinstance(load_matcher("xmatch-small", path, "cpu"), DenseMatcher)
    assert isinstance(load_matcher("auto", path, "cpu"), DenseMatcher)
    assert isinstance(load_matcher("xmatch-small"), DenseMatcher)  # with the weights that come along
    save_weights(
        path, network.model.state_dict(), dataclasses.replace(metadata(), architecture="romav2"), overwrite=True
    )
    with pytest.raises(ModelError, match="holds weights of RoMa v2; nothing here can build it"):
        load_matcher("auto", path, "cpu")


@pytest.mark.parametrize("name", ["structural", "sift", "mi"])
def test_weights_for_what_takes_none_are_not_passed_over(name):
    with pytest.raises(UsageError, match=f"{name} takes no weights"):
        load_matcher(name, "some.safetensors")


def test_weights_of_something_else_are_refused_by_name(network, tmp_path):
    path = tmp_path / "other.safetensors"
    save_weights(path, network.model.state_dict(), dataclasses.replace(metadata(), architecture="loftr"))
    with pytest.raises(ModelError, match="LoFTR.*not of xmatch-small|does not fit|configuration"):
        open_matcher("xmatch-small", str(path), "cpu")
    save_weights(path, network.model.state_dict(), metadata(legs=4), overwrite=True)
    with pytest.raises(ModelError, match="legs"):
        open_matcher("xmatch-small", str(path), "cpu")
    save_weights(path, network.model.state_dict(), metadata(coarse_channels=32), overwrite=True)
    with pytest.raises(ModelError, match="does not fit"):
        open_matcher("xmatch-small", str(path), "cpu")


def test_a_name_without_weights_and_a_device_that_is_not_there_are_clear_errors(network, tmp_path):
    with pytest.raises(ModelError, match="no weights for aliked"):
        open_matcher("aliked", None, "cpu")
    save_weights(tmp_path / "tiny.safetensors", network.model.state_dict(), metadata())
    with pytest.raises(UsageError, match="abacus"):
        open_matcher("xmatch-small", str(tmp_path / "tiny.safetensors"), "abacus")
