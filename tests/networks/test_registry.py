"""Every network of the registry: its config, its weights, what is published of it, and the matcher that runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from xmatch.io.weights.files import read_metadata
from xmatch.matchers.base import SearchRange
from xmatch.matchers.registry import MATCHERS, load_matcher
from xmatch.networks.registry import ARCHITECTURES, recognise
from xmatch.networks.weights import shipped
from xmatch.raster import View

LOFTR = ("backbone.layer3_outconv.weight", "loftr_coarse.layers.0.q_proj.weight", "fine_preprocess.down_proj.weight")
NAMES = {
    "roma": ("encoder.cnn.layers.0.weight", "decoder.embedding_decoder.to_out.weight",
             "decoder.conv_refiner.16.block1.0.weight"),
    "romav2": ("f.cls_token", "matcher.omega", "refiners.4.proj.weight", "refiner_features.layers.0.weight"),
    "tiny-roma": ("xfeat.0.skip1.1.weight", "coarse_matcher.0.layer.0.weight", "fine_matcher.0.layer.0.weight"),
    "loftr": (*LOFTR, "loftr_fine.layers.0.q_proj.weight"),
    "eloftr": (*LOFTR, "loftr_coarse.layers.0.aggregate.weight"),
    "eloftr-hf": ("efficientloftr.backbone.stages.0.blocks.0.conv1.conv.weight",),
    "xoftr": (*LOFTR[:2], "fine_process.conv.weight", "coarse_matching.final_proj.weight"),
    "lightglue": ("posenc.Wr.weight", "log_assignment.0.matchability.weight", "self_attn.0.Wqkv.weight"),
    "aliked": ("block1.conv1.weight", "desc_head.agg_weights", "score_head.0.weight"),
    "xfeat": ("skip1.1.weight", "keypoint_head.3.weight", "fine_matcher.12.weight"),
    "xmatch-sparse": ("extractor.model.net.keypoint_head.3.weight", "matcher.posenc.Wr.weight"),
    "disk": ("unet.path_down.0.1.3.weight", "unet.path_up.3.conv.3.weight"),
    "superpoint": ("conv1a.weight", "convPa.weight", "convDb.weight"),
    "dinov2": ("cls_token", "patch_embed.proj.weight", "blocks.0.ls1.gamma"),
    "dinov2-hf": ("embeddings.patch_embeddings.projection.weight", "encoder.layer.0.layer_scale1.lambda1"),
}  # fmt: skip
"""Some names of published files, as their authors' code gives them."""

BUILT = [name for name, entry in ARCHITECTURES.items() if entry.network is not None]
RUN = [name for name, path in shipped().items() if ARCHITECTURES[read_metadata(path).architecture].matcher]
"""Weights that come with the package, and that a matcher runs."""
SHIFT_PX = (21.0, -13.0)


def whose_marks(state) -> list[str]:
    """All architectures that tensors of these names could be of."""
    return [name for name, entry in ARCHITECTURES.items() if entry.holds_marks(state)]


@pytest.mark.parametrize("name", BUILT)
def test_every_size_survives_json_and_its_network_is_recognised_as_itself_alone(name):
    entry = ARCHITECTURES[name]
    for size, config in entry.sizes.items():
        read = json.loads(json.dumps(entry.config(size, {})))
        network = entry.build(read)
        assert entry.config(size, read) == entry.config(size, {}) and type(config) is type(entry.sizes[size])
        # Both spellings of Efficient LoFTR build the network of the published names.
        assert whose_marks(network.state_dict()) == [name.removesuffix("-hf")]


@pytest.mark.parametrize("name", NAMES)
def test_published_names_are_recognised(name):
    assert recognise(NAMES[name]).name == name
    # Efficient LoFTR has all that LoFTR has, and is asked first.
    assert set(whose_marks(NAMES[name])) <= {name} | ({"loftr"} if name == "eloftr" else set())


def test_every_architecture_is_tried_here():
    assert set(ARCHITECTURES) == {*NAMES, *BUILT}


def test_kornias_networks_are_recognised_whole():
    import kornia

    for network, name in ((kornia.feature.LoFTR(pretrained=None), "loftr"), (kornia.feature.DISK(), "disk")):
        state = network.state_dict()
        assert recognise(state).name == name and len(state) == recognise(state).tensors


def test_names_that_say_nothing_are_not_guessed_at():
    assert recognise(["encoder.weight", "conv1.weight"]) is None
    assert recognise([]) is None


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_entry_is_whole(name):
    entry = ARCHITECTURES[name]
    assert entry.name == name and entry.title and entry.marks and (entry.published or entry.network or "-hf" in name)
    assert (entry.objective is None) == (entry.objective_name is None)
    assert entry.network is not None or entry.objective is None
    assert entry.matcher is None or entry.matcher in MATCHERS
    # What cannot be run cannot be judged by its registrations, and says so.
    assert entry.adaptation is None or entry.matcher is not None
    assert (entry.not_run is None) == (entry.matcher is not None or entry.feature is not None)


def shifted_pair() -> tuple[View, View]:
    """What lies at (x, y) px of moving lies at (x, y) + `SHIFT_PX` of fixed; blobs and edges, 192 px."""
    rng = np.random.default_rng(3)
    scene = cv2.GaussianBlur(rng.random((320, 320)).astype(np.float32), (0, 0), 3)
    scene = cv2.normalize(scene, None, 0, 1, cv2.NORM_MINMAX)
    for x, y, side in rng.integers((0, 0, 15), (300, 300, 60), (24, 3)).tolist():
        cv2.rectangle(scene, (x, y), (x + side, y + side), float(rng.random()), -1)
    x, y = map(int, SHIFT_PX)
    images = scene[60:252, 60:252], scene[60 + y : 252 + y, 60 + x : 252 + x]
    return tuple(View(image.copy(), np.ones((192, 192), bool), np.eye(3)) for image in images)


@pytest.mark.parametrize("name", RUN)
def test_weights_in_the_package_match_a_shifted_pair(name, monkeypatch):
    # The dense network on views of the size that the images here have: a tenth of the time.
    monkeypatch.setattr("xmatch.matchers.dense.SIDE_PX", 192)
    monkeypatch.setattr("xmatch.matchers.dense.FINER_PX", ())
    fixed, moving = shifted_pair()
    matcher = load_matcher("auto", name, "cpu")
    within = SearchRange(max_angle_deg=5.0, min_scale=0.97, max_scale=1.03)
    found = matcher(fixed, moving, within, seed=0, threads=1)
    middle = np.array([96.0, 96.0, 1.0])
    assert np.linalg.norm((found.proposals[0].matrix @ middle)[:2] - middle[:2] - SHIFT_PX) < 3.0


def test_the_registry_loads_neither_torch_nor_opencv():
    probe = "import sys, xmatch.networks.registry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & {"torch", "kornia", "cv2", "numpy"}
