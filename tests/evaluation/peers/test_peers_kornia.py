"""kornia's networks as peers: weights are read strictly, and positions come back in px of the files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from kornia.feature import DISK, DISKFeatures, LightGlue, LoFTR
from scenes import ground, optical

from xmatch.errors import ModelError, UsageError
from xmatch.evaluation import MatcherSpec, methods
from xmatch.evaluation.peers import fitting, images, kornia_matchers
from xmatch.evaluation.peers.base import PeerSettings
from xmatch.evaluation.peers.registry import load_peer
from xmatch.evaluation.predict import _weights_digest, recipe_digest
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.io.weights.files import WeightsMetadata, save_weights

SIZE = (160, 96)
"""(width, height) px of moving, which the networks see as it is; fixed is the same at twice the size."""


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """(fixed, moving); the networks are shown the same of both."""
    monkeypatch.setattr(kornia_matchers, "LONGEST_PX", max(SIZE))
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
    return PeerSettings(weights=str(weights), detector_weights=detector, device="cpu", **more)


def twice(found):
    """Whether moving lies on fixed at twice its size, corner on corner."""
    return found.reason is None and np.allclose(found.transform.matrix, np.diag([2.0, 2.0, 1.0]), atol=1e-3)


def turned_over(found):
    """Whether moving lies on fixed at twice its size and upside down. Half a pixel lost in both images would show."""
    truth = [[-2, 0, 2 * SIZE[0]], [0, -2, 2 * SIZE[1]], [0, 0, 1]]
    return found.reason is None and np.allclose(found.transform.matrix, truth, atol=1e-3)


def test_loftr_sees_grey_images_of_one_size_and_its_positions_become_px_of_the_files(pair, loftr_file, monkeypatch):
    seen = []

    def extract_features(network, image):
        seen.append((network, image))
        return {}

    def forward(network, data):
        xy = 8.0 * torch.tensor([[3, 3], [17, 4], [9, 8], [4, 7], [15, 8], [3, 9]])
        turned = torch.tensor(SIZE) - xy
        return {"keypoints0": xy, "keypoints1": turned, "confidence": torch.linspace(0.3, 0.9, len(xy))}

    monkeypatch.setattr(LoFTR, "extract_features", extract_features)
    monkeypatch.setattr(LoFTR, "forward", forward)
    found = load_peer("kornia-loftr")(*pair, settings(loftr_file, model="outdoor"))
    assert turned_over(found) and (found.correspondences, found.inliers) == (6, 6)
    (network, fixed), (_, moving) = seen
    assert fixed.shape == moving.shape == (1, 1, *SIZE[::-1])
    assert 0 <= fixed.min() and 0.9 < fixed.max() <= 1
    assert torch.allclose(fixed, moving, atol=1.5 / 255)
    assert not network.training and not network.config["coarse"]["temp_bug_fix"]


def test_loftr_runs_with_the_numbers_of_the_file_and_says_what_came_of_it(pair, loftr_file):
    found = load_peer("kornia-loftr")(*pair, settings(loftr_file, model="minima"))
    assert found.correspondences is not None and not found.failed


def test_disk_and_lightglue_find_a_file_in_its_enlargement_to_a_thousandth_of_a_pixel(pair, disk_files):
    found = load_peer("kornia-disk-lightglue")(*pair, settings(*disk_files))
    assert twice(found) and found.inliers > 30


def test_disk_counts_from_centres_and_lightglue_matches_what_is_described_alike(pair, disk_files, monkeypatch):
    xy = torch.tensor([[8, 2], [140, 30], [90, 90], [33, 70], [150, 60], [20, 85]])
    last = torch.tensor(SIZE) - 1
    told = iter([xy, last - xy])

    def forward(disk, image, **how):
        assert image.shape == (1, 3, *SIZE[::-1]) and how["pad_if_not_divisible"]
        return [DISKFeatures(next(told).float(), torch.eye(128)[: len(xy)], torch.ones(len(xy)))]

    monkeypatch.setattr(DISK, "forward", forward)
    found = load_peer("kornia-disk-lightglue")(*pair, settings(*disk_files))
    assert turned_over(found) and found.inliers == len(xy)


def test_an_image_that_shows_nothing_and_one_without_keypoints_are_reasons(pair, disk_files, monkeypatch):
    peer, asked = load_peer("kornia-disk-lightglue"), settings(*disk_files)
    monkeypatch.setattr(kornia_matchers, "KEYPOINTS", 0)
    assert "0 correspondences" in peer(*pair, asked).reason
    cv2.imwrite(str(pair[1]), np.full((40, 50), 90, np.uint8))
    assert "moving image shows nothing" in peer(*pair, asked).reason


def test_a_trained_loftr_of_our_own_brings_its_configuration(pair, tmp_path):
    from xmatch.networks.loftr.config import LoftrConfig
    from xmatch.networks.loftr.network import TrainedLoftr

    config = {"initial_dim": 16, "block_dims": [16, 16, 16], "heads": 2, "layers": 1, "temp_bug_fix": True}
    network = TrainedLoftr(LoftrConfig(16, (16, 16, 16), 2, 1))
    path = tmp_path / "own.safetensors"
    save_weights(path, network.state_dict(), WeightsMetadata("own", "loftr", "Apache-2.0", config))
    assert load_peer("kornia-loftr")(*pair, settings(path)).correspondences is not None


def test_positions_are_told_by_the_training_that_the_user_names(loftr_file):
    built = {model: kornia_matchers._loftr(settings(loftr_file, model=model)) for model in ("indoor", "minima")}
    assert {m: n.config["coarse"]["temp_bug_fix"] for m, n in built.items()} == {"indoor": False, "minima": True}
    for model in (None, "mine"):
        with pytest.raises(UsageError, match="outdoor, indoor, indoor_new, minima"):
            load_peer("kornia-loftr").check(settings(loftr_file, model=model))


def test_weights_that_are_missing_say_which_and_from_where(disk_files, tmp_path):
    with pytest.raises(UsageError, match="zju3dv/LoFTR.*nothing is downloaded"):
        load_peer("kornia-loftr").check(PeerSettings(model="outdoor"))
    with pytest.raises(UsageError, match="cvg/LightGlue"):
        load_peer("kornia-disk-lightglue").check(PeerSettings())
    with pytest.raises(UsageError, match="cvlab-epfl/disk"):
        load_peer("kornia-disk-lightglue").check(settings(disk_files[0]))
    with pytest.raises(ModelError, match="no such file"):
        load_peer("kornia-loftr").check(settings(tmp_path / "gone.ckpt", model="outdoor"))


def test_weights_of_another_architecture_are_refused_by_name(disk_files, tmp_path):
    lightglue, disk = disk_files
    with pytest.raises(ModelError, match="holds weights of LightGlue .*LoFTR"):
        load_peer("kornia-loftr").check(settings(lightglue, model="outdoor"))
    with pytest.raises(ModelError, match="holds weights of DISK"):
        load_peer("kornia-disk-lightglue").check(settings(disk, lightglue))
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match="no architecture known here"):
        load_peer("kornia-disk-lightglue").check(settings(lightglue, tmp_path / "odd.pth"))


def test_lightglue_for_other_keypoints_does_not_fit(disk_files, tmp_path):
    torch.save(LightGlue(features=None).state_dict(), tmp_path / "superpoint_lightglue.pth")
    with pytest.raises(ModelError, match="2 missing: input_proj.bias, input_proj.weight"):
        load_peer("kornia-disk-lightglue").check(settings(tmp_path / "superpoint_lightglue.pth", disk_files[1]))


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
    spec = MatcherSpec("kornia-disk-lightglue", weights=lightglue, detector_weights=disk)
    recipe = EvalRecipe(manifest=("pairs.jsonl",), matchers=(spec, "orb"), controls=False)
    peer, orb = methods(recipe)
    assert peer.settings(recipe).detector_weights == disk
    alone = type(peer)("x", "peer", peer.uses, MatcherSpec("x", weights=lightglue))
    assert _weights_digest(recipe, peer) not in (None, _weights_digest(recipe, alone))
    assert _weights_digest(recipe, orb) is None
    assert recipe_digest(recipe, peer) != recipe_digest(recipe, alone)
