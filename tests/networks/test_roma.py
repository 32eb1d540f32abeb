"""RoMa: what its authors' code answers with the same random weights, and weights under their published names."""

from __future__ import annotations

import dataclasses

import make_roma_golden as golden
import numpy as np
import pytest
import torch

from xmatch.networks.dinov2.config import DinoConfig
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.registry import recognise
from xmatch.networks.roma.config import RomaConfig
from xmatch.networks.roma.entry import ROMA, config_of
from xmatch.networks.roma.inference import matched, seen
from xmatch.networks.roma.network import Roma

CONFIG = RomaConfig(
    channels=golden.CHANNELS,
    convolutions=golden.CONVOLUTIONS,
    backbone_width=golden.WIDTH,
    projected=golden.PROJECTED,
    posterior=golden.POSTERIOR,
    heads=golden.HEADS,
    layers=golden.LAYERS,
    anchors=golden.ANCHORS,
    embedded=golden.EMBEDDED,
    radius=golden.RADIUS,
    hidden=golden.HIDDEN,
)


@pytest.fixture(scope="module")
def expected():
    return np.load(golden.GOLDEN)


@pytest.fixture(scope="module")
def network():
    """With the weights of the reference."""
    found, backbone = Roma(CONFIG).eval(), Dino(DinoConfig(**golden.DINO))
    found.load_state_dict(golden.weights({name: tuple(t.shape) for name, t in found.state_dict().items()}))
    shapes = {f"dino.{name}": tuple(t.shape) for name, t in backbone.state_dict().items()}
    backbone.load_state_dict({name.removeprefix("dino."): t for name, t in golden.weights(shapes).items()})
    found.see_with(backbone)
    return found


def test_names_of_tensors_are_those_of_its_authors(network, expected):
    backbone = {f"dino.{name}" for name in Dino(DinoConfig(**golden.DINO)).state_dict()}
    assert sorted({*network.state_dict(), *backbone}) == expected["names"].tolist()


@torch.inference_mode()
def test_warp_and_certainty_of_both_passes_are_those_of_its_authors(network, expected):
    fixed, moving, fixed_fine, moving_fine = golden.both_sizes()
    found = matched(network, seen(network, fixed, fixed_fine), seen(network, moving, moving_fine))
    assert expected["there"].std() > 0.1 and expected["there_sure"].std() > 0.1
    for name, one in zip(("there", "back"), found, strict=True):
        every = np.s_[:: golden.EVERY, :: golden.EVERY]
        np.testing.assert_allclose(one.warp[0].numpy()[every], expected[name], atol=1e-3)
        np.testing.assert_allclose(one.certainty[0].sigmoid().numpy()[every], expected[f"{name}_sure"], atol=1e-3)


def test_published_weights_have_so_many_tensors_and_tell_their_size():
    with torch.device("meta"):
        state = Roma(RomaConfig()).state_dict()
        assert len(Dino(DinoConfig()).state_dict()) == 343
    assert len(state) == ROMA.tensors and recognise(state) is ROMA and config_of(state) == RomaConfig()


def test_the_size_of_any_weights_is_told_but_for_the_heads(network):
    told = config_of(network.state_dict())
    assert told.heads == 1 and dataclasses.replace(told, heads=golden.HEADS) == CONFIG
