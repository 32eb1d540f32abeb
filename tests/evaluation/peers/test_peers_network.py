"""Published networks as peers: weights are read strictly, and positions come back in px of the files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from kornia.feature import DISK, LightGlue, LoFTR
from scenes import ground, optical

from xmatch.errors import ModelError, UsageError
from xmatch.evaluation import MatcherSpec, methods
from xmatch.evaluation.peers import fitting, images, networks
from xmatch.evaluation.peers.base import PeerSettings
from xmatch.evaluation.peers.registry import load_peer
from xmatch.evaluation.predict import _weights_digest, recipe_digest
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.loading import load_network

SIZE = (160, 96)
"""(width, height) px of moving, which the networks see as it is; fixed is the same at twice the size."""


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """(fixed, moving); the networks are shown the same of both."""
    monkeypatch.setattr(networks, "LONGEST_PX", max(SIZE))
    moving = optical(ground(5))[60 : 60 + SIZE[1], 60 : 60 + SIZE[0]]
    cv2.imwrite(str(tmp_path / "moving.png"), moving)
    cv2.imwrite(str(tmp_path / "fixed.png"), np.kron(moving, np.ones((2, 2), np.uint8)))
    return tmp_path / "fixed.png", tmp_path / "moving.png"


@pytest.fixture(scope="module")
def loftr_file(tmp_path_factory):
    """Random numbers as MINIMA and LoFTR's authors lay them out."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("loftr") / "some.ckpt"
    state = {f"matcher.{name}": tensor for name, tensor in LoFTR(pretrained=None).state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def disk_files(tmp_path_factory):
    """(LightGlue, DISK) in their published layouts: LightGlue's numbers make it compare descriptors alone."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("disk")
    torch.save({"extractor": DISK().state_dict(), "optimizer": {}}, folder / "depth-save.pth")
    network = LightGlue(features=None, input_dim=128)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if ".ffn.3." in name or name.endswith("bias") or "matchability" in name or "token_confidence" in name:
                tensor.zero_()
            if name.endswith("matchability.bias"):
                tensor.fill_(20.0)
            if name.startswith("token_confidence") and name.endswith("bias"):
                tensor.fill_(-20.0)
            if name.endswith("final_proj.weight"):
                tensor.copy_(60 * torch.eye(256))
            if name == "input_proj.weight":
                tensor.copy_(torch.eye(256)[:, :128])
    state = {n: t for n, t in network.state_dict().items() if n != "confidence_thresholds"}
    old = {name.replace("transformers.", "", 1): name for name in state if name.startswith("transformers.")}
    names = {new: ".".join([old_name.split(".")[1], old_name.split(".")[0], *old_name.split(".")[2:]])
             for old_name, new in old.items()}  # fmt: skip
    torch.save({names.get(name, name): tensor for name, tensor in state.items()}, folder / "disk_lightglue.pth")
    return folder / "disk_lightglue.pth", folder / "depth-save.pth"


def settings(weights, detector=None, **more):
    detector = None if detector is None else str(detector)
    return PeerSettings(weights=str(weights), companion_weights=detector, device="cpu", **more)


def twice(found):
    """Whether moving lies on fixed at twice its size, corner on corner."""
    return found.reason is None and np.allclose(found.transform.matrix, np.diag([2.0, 2.0, 1.0]), atol=1e-3)


def test_loftr_runs_with_the_numbers_of_the_file_and_says_what_came_of_it(pair, loftr_file):
    found = load_peer("network")(*pair, settings(loftr_file, model="minima"))
    assert found.correspondences is not None and not found.failed


def test_disk_and_lightglue_find_a_file_in_its_enlargement_to_a_thousandth_of_a_pixel(pair, disk_files):
    found = load_peer("network")(*pair, settings(*disk_files))
    assert twice(found) and found.inliers > 30


def test_a_flat_image_is_said_to_show_nothing(pair, disk_files):
    cv2.imwrite(str(pair[1]), np.full((40, 50), 90, np.uint8))
    assert "moving image shows nothing" in load_peer("network")(*pair, settings(*disk_files)).reason


def test_a_trained_loftr_of_our_own_brings_its_configuration(pair, tmp_path):
    from xmatch.networks.loftr.config import LoftrConfig
    from xmatch.networks.loftr.network import TrainedLoftr

    config = {"initial_dim": 16, "block_dims": [16, 16, 16], "heads": 2, "layers": 1, "temp_bug_fix": True}
    network = TrainedLoftr(LoftrConfig(16, (16, 16, 16), 2, 1))
    path = tmp_path / "own.safetensors"
    save_weights(path, network.state_dict(), WeightsMetadata("own", "loftr", "Apache-2.0", config))
    assert load_peer("network")(*pair, settings(path)).correspondences is not None


def test_positions_are_told_by_the_training_that_the_user_names(loftr_file):
    peer = load_peer("network")
    for training, as_meant in (("indoor", False), ("minima", True)):
        loaded = load_network(loftr_file, training)
        assert loaded.network.config["coarse"]["temp_bug_fix"] is as_meant
        peer.check(settings(loftr_file, model=training))
    for training in (None, "mine"):
        with pytest.raises(ModelError, match=r"outdoor\|indoor\|indoor_new\|minima"):
            peer.check(settings(loftr_file, model=training))


def test_weights_that_are_missing_or_of_something_else_are_refused(disk_files, tmp_path):
    peer, (lightglue, _) = load_peer("network"), disk_files
    with pytest.raises(UsageError, match="needs weights.*nothing is downloaded"):
        peer.check(PeerSettings())
    with pytest.raises(UsageError, match="companion-weights"):
        peer.check(settings(lightglue))
    with pytest.raises(ModelError, match="no such file"):
        peer.check(settings(tmp_path / "gone.ckpt"))
    with pytest.raises(ModelError, match="holds weights of LightGlue; wanted are those of DISK"):
        peer.check(settings(lightglue, lightglue))
    with pytest.raises(ModelError, match="finds no correspondences"):
        peer.check(settings("xmatch-fields"))


def test_correspondences_on_what_is_declared_invalid_have_no_say():
    def seen(valid):
        grey = images.Grey(np.zeros(valid.shape, np.uint8), valid)
        return images.Shrunk(grey, np.zeros((20, 40), np.uint8), np.zeros((20, 40, 3), np.uint8))

    half, whole = np.ones((40, 80), bool), np.ones((20, 40), bool)
    half[:, 40:] = False
    rng = np.random.default_rng(0)
    xy = np.vstack([rng.uniform((0, 0), (20, 20), (9, 2)), rng.uniform((20.1, 0), (40, 20), (5, 2)), [(40, 20)]])
    pairs = fitting.Correspondences(xy, xy, np.ones(len(xy)))
    found = fitting.explained_shrunk(pairs, seen(half), seen(whole), PeerSettings())
    assert twice(found) and found.correspondences == 9


def test_colour_stays_colour_and_sides_become_multiples(tmp_path):
    blue = np.zeros((50, 70, 3), np.uint8)
    blue[:, 35:, 0] = 200
    cv2.imwrite(str(tmp_path / "blue.png"), blue)
    shrunk = images.read_shrunk(tmp_path / "blue.png", 35, 8)
    assert shrunk.rgb.shape == (24, 32, 3) and shrunk.grey.shape == (24, 32)
    assert shrunk.rgb[0, -1].tolist() == [0, 0, 200] and shrunk.grey.max() == 255
    assert shrunk.file_xy([[32, 24]]).tolist() == [[70, 50]]


def test_a_recipe_tells_the_peer_and_its_answers_are_of_these_two_files(disk_files):
    lightglue, disk = map(str, disk_files)
    spec = MatcherSpec("network", weights=lightglue, companion_weights=disk)
    recipe = EvalRecipe(manifest=("pairs.jsonl",), matchers=(spec, "orb"), controls=False)
    peer, orb = methods(recipe)
    assert peer.settings(recipe).companion_weights == disk
    alone = type(peer)("x", "peer", peer.uses, MatcherSpec("x", weights=lightglue))
    assert _weights_digest(recipe, peer) not in (None, _weights_digest(recipe, alone))
    assert _weights_digest(recipe, orb) is None
    assert recipe_digest(recipe, peer) != recipe_digest(recipe, alone)
