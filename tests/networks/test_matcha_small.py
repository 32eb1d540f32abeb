"""matcha-small: its losses, what it is taught by which pair, and its way from training to points."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from xmatch.errors import ModelError
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.matcha.config import SMALL_NAMES, MatchaSmallConfig
from xmatch.networks.matcha.loading import FeatureOptions, load_feature
from xmatch.networks.matcha.objective import dual_softmax_loss, flow_loss
from xmatch.networks.matcha.small import MatchaSmall
from xmatch.networks.registry import load_objective
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.seeds import device_rng
from xmatch.synth.sources import Sensors, Shapes, Things

TINY = {"channels": [8, 8, 8, 8], "width": 8, "blocks": 1, "heads": 2, "semantic": 8, "geometric": 4}


def network() -> MatchaSmall:
    torch.manual_seed(0)
    return MatchaSmall(MatchaSmallConfig(**(TINY | {"channels": (8,) * 4})))


def axes(count: int) -> torch.Tensor:
    """(N, N): directions that have nothing in common."""
    return torch.eye(count)


def test_the_dual_softmax_is_small_for_right_partners_and_large_for_wrong_ones():
    """By hand: N orthogonal directions, each of the two softmaxes gives e / (e + N - 1) to the partner at tau = 1."""
    assert dual_softmax_loss(axes(4), axes(4), 1.0).item() == pytest.approx(-2 * math.log(math.e / (math.e + 3)))
    assert dual_softmax_loss(axes(4), axes(4), 0.02) < 1e-6
    assert dual_softmax_loss(axes(4), axes(4).roll(1, 0), 0.02).item() == pytest.approx(100.0, rel=0.01)


def test_the_flow_loss_is_the_distance_of_the_soft_argmax():
    """One cell like the query, all others opposite to it: the soft-argmax is that cell, to within the noise."""
    features = -F.normalize(torch.ones(2, 4, 6), dim=0)
    features[:, 2, 3] *= -1
    query = F.normalize(torch.ones(1, 2), dim=1)
    torch.manual_seed(0)
    near, far = (flow_loss(query, features, torch.tensor([place])) for place in ([3.5, 2.5], [0.5, 2.5]))
    assert near < 0.3 and far.item() == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize(("source", "taught"), [(Shapes(Sensors(["visible"])), "geometric"), (Things(), "semantic")])
def test_each_kind_of_pair_teaches_its_own_feature(source, taught):
    """And through the fusion both features of the encoder."""
    objective, model = load_objective("matcha"), network()
    batch = draw_pairs(Mixture([source]), 2, 96, device_rng("cpu", 0), Difficulty.EASY)
    parts = objective.step(model, batch)
    parts["total"].backward()
    reached = {
        name: float(head[2].weight.grad.abs().sum()) > 0
        for name, head in (("geometric", model.fusion.head_low), ("semantic", model.fusion.head_high))
    }
    assert reached == {name: name == taught for name in reached}
    assert (parts["geometric"] > 0) == (taught == "geometric") and (parts["flow"] > 0) == (taught == "semantic")
    assert all(layer.weight.grad.abs().sum() > 0 for layer in (model.to_low[-1], model.to_high[-1]))


def test_errors_are_those_of_the_nearest_cell():
    """Moving is fixed: each cell finds itself."""
    objective = load_objective("matcha")
    batch = draw_pairs(Mixture([Shapes(Sensors(["visible"]))]), 1, 96, device_rng("cpu", 0), Difficulty.EASY)
    line = (torch.arange(96) + 0.5) / 48 - 1
    still = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None]
    same = replace(batch, moving=batch.fixed, warp=still, covisible=torch.ones((1, 96, 96), dtype=torch.bool))
    (errors,) = objective.errors(network().eval(), same)
    assert errors.shape == (144,) and errors.median() < 1e-3


def test_what_was_trained_describes_images_in_colour(tmp_path):
    told = WeightsMetadata("mine", "matcha-small", "Apache-2.0", config=TINY)
    save_weights(tmp_path / "mine.safetensors", network().state_dict(), told)
    feature = load_feature("matcha-small", FeatureOptions(weights=str(tmp_path / "mine.safetensors")))
    described = feature(torch.rand(2, 3, 64, 96), "semantic")
    assert described.shape[::2] == (2, 8) and described.shape[3] == 12
    torch.testing.assert_close(described.norm(dim=1), torch.ones(2, 8, 12))


def test_its_parts_can_be_compared_alone(tmp_path):
    """Without the third feature it has one of its own for each task; without fusion it is the encoder's two."""
    images = torch.rand(1, 3, 64, 96)
    whole, light, unfused = (load_feature(name) for name in SMALL_NAMES)
    assert light(images, "semantic").shape[1] == 128 and light(images, "temporal").shape[1] == 128
    torch.testing.assert_close(light(images, "geometric"), whole(images, "geometric"))
    assert unfused(images, "temporal").shape[1] == 64 + 128
    torch.testing.assert_close(unfused(images, "geometric"), unfused(images, "semantic"))


def test_weights_of_another_network_are_refused(tmp_path):
    told = WeightsMetadata("mine", "matcha-small", "Apache-2.0", config=TINY)
    save_weights(tmp_path / "mine.safetensors", network().state_dict(), told)
    with pytest.raises(ModelError, match="not of MATCHA's fusion|needs what is not"):
        load_feature("matcha", FeatureOptions(weights=str(tmp_path / "mine.safetensors")))


def test_without_weights_it_is_said_how_they_are_made(monkeypatch):
    monkeypatch.setattr("xmatch.networks.matcha.loading.shipped", dict)
    with pytest.raises(ModelError, match="xmatch pretrain recipes/pretrain-matcha.yaml"):
        load_feature("matcha-small")
