"""RoMa: what its authors' code answers with the same random weights, and weights under their published names."""

from __future__ import annotations

import copy
import dataclasses

import make_roma_golden as golden
import numpy as np
import pytest
import torch

from xmatch.errors import ModelError
from xmatch.networks.dinov2.config import DinoConfig
from xmatch.networks.dinov2.network import Dino
from xmatch.networks.registry import recognise
from xmatch.networks.roma.config import RomaConfig
from xmatch.networks.roma.entry import ROMA, config_of
from xmatch.networks.roma.inference import matched, seen
from xmatch.networks.roma.merged import merged
from xmatch.networks.roma.network import Roma, attenuated
from xmatch.networks.roma.runner import stretched

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


@torch.inference_mode()
def test_the_network_of_the_matcher_computes_the_same_with_less(network):
    quick = merged(network)
    kinds = [type(part) for part in quick.modules()]
    assert torch.nn.BatchNorm2d not in kinds and quick.decoder.conv_refiner["8"].out_conv.in_channels % 16 == 0
    fixed, moving, *_ = golden.both_sizes()
    answers = [matched(one, seen(one, fixed, None), seen(one, moving, None))[0] for one in (network, quick)]
    torch.testing.assert_close(answers[0].warp, answers[1].warp, atol=1e-5, rtol=0)
    torch.testing.assert_close(answers[0].certainty, answers[1].certainty, atol=1e-4, rtol=1e-4)


def test_published_weights_have_so_many_tensors_and_tell_their_size():
    with torch.device("meta"):
        state = Roma(RomaConfig()).state_dict()
        assert len(Dino(DinoConfig()).state_dict()) == 343
    assert len(state) == ROMA.tensors and recognise(state) is ROMA and config_of(state) == RomaConfig()


def test_the_size_of_any_weights_is_told_but_for_the_heads(network):
    told = config_of(network.state_dict())
    assert told.heads == 1 and dataclasses.replace(told, heads=golden.HEADS) == CONFIG


def test_half_of_what_the_coarse_stage_says_against_a_match_is_taken_back():
    """As published: logits add up from coarse to fine, so that certainty rises there."""
    certainty, coarse = torch.zeros(1, 4, 4), torch.tensor([[[-2.0, 3.0]]]).expand(1, 2, 2)
    assert attenuated(certainty, coarse)[0, 0].tolist() == [1.0, 0.375, 0.0, 0.0]


@pytest.mark.parametrize("how", ["bicubic", "bilinear"])
def test_images_are_stretched_as_pil_does_it(how):
    pil = pytest.importorskip("PIL.Image")
    image = (golden.images((70, 90))[0] * 255).round()
    whole = pil.fromarray(image[0].permute(1, 2, 0).byte().numpy())
    expected = np.asarray(whole.resize((40, 40), pil.Resampling[how.upper()]), np.float32)
    found = stretched(image / 255, 40, how)[0].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(found, expected, atol=1.6)  # PIL rounds in between


def test_without_its_image_encoder_or_with_another_one_it_does_not_look():
    lonely, image = Roma(CONFIG).eval(), golden.images(golden.COARSE)[0]
    with pytest.raises(ValueError, match="no image encoder"):
        lonely.describe(image)
    with pytest.raises(ModelError, match="DINOv2 of 32 channels, not with 16 channels"):
        ROMA.see_with(lonely, Dino(DinoConfig(width=16, depth=1, heads=1, side=4)))
    with pytest.raises(ValueError, match="multiples of 56"):
        lonely.describe(image[..., :160])


def test_copies_share_the_image_encoder_and_weights_do_not_hold_it(network):
    copied = copy.deepcopy(network)
    assert copied._backbone.network is network._backbone.network
    assert not any("dino" in name or "blocks.0.ls1" in name for name in network.state_dict())
    assert not any(parameter.requires_grad for parameter in network._backbone.network.parameters())


def test_what_is_computed_again_for_the_gradient_changes_neither_it_nor_statistics(network):
    learning, (fixed, moving, *_) = copy.deepcopy(network).train(), golden.both_sizes()
    shown = torch.ones_like(fixed[:, :1], dtype=torch.bool)
    before = copy.deepcopy(learning.state_dict())
    found = []
    for learning.saves_memory in (False, True):
        learning.load_state_dict(before)
        learning.zero_grad()
        answer = learning(fixed, shown, moving, shown)
        sum(scale.warp.square().mean() + scale.certainty.mean() for scale in answer.scales).backward()
        gradients = [parameter.grad.clone() for parameter in learning.parameters() if parameter.grad is not None]
        statistics = [value.clone() for name, value in learning.named_buffers() if "running" in name]
        found.append((gradients, statistics))
    assert len(found[0][0]) > 100 and not torch.equal(found[0][1][0], before["encoder.cnn.layers.1.running_mean"])
    torch.testing.assert_close(found[0], found[1])
