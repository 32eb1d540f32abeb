"""Tiny RoMa: what its authors' code answers with the same random weights, and weights under their published names."""

from __future__ import annotations

import copy

import make_roma_golden as golden
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xmatch.networks.base import DenseWarp, Prediction
from xmatch.networks.pseudo_labels import Labels
from xmatch.networks.registry import recognise
from xmatch.networks.tiny_roma.config import TinyRomaConfig
from xmatch.networks.tiny_roma.entry import TINY_ROMA, config_of
from xmatch.networks.tiny_roma.network import TinyRoma
from xmatch.networks.tiny_roma.objective import TinyRomaObjective, tiny_roma_loss
from xmatch.networks.tiny_roma.runner import snapped


@pytest.fixture(scope="module")
def network():
    found = TinyRoma(TinyRomaConfig()).eval()
    found.load_state_dict(golden.weights({name: tuple(t.shape) for name, t in found.state_dict().items()}))
    return found


@torch.inference_mode()
def test_warp_certainty_and_names_of_tensors_are_those_of_its_authors(network):
    expected = np.load(golden.GOLDEN)
    assert sorted(network.state_dict()) == expected["tiny_names"].tolist()
    _, found = network.match(*(network.describe(snapped(image)) for image in golden.images(*golden.TINY)))
    both = torch.cat([found.warp.permute(0, 3, 1, 2), found.certainty[:, None]], 1)
    whole = F.interpolate(both, golden.TINY[0], mode="bilinear", align_corners=False)[
        0, :, :: golden.EVERY, :: golden.EVERY
    ]
    np.testing.assert_allclose(whole[:2].permute(1, 2, 0), expected["tiny"], atol=1e-3)
    np.testing.assert_allclose(whole[2].sigmoid(), expected["tiny_sure"], atol=1e-3)


def test_published_weights_have_so_many_tensors_and_tell_their_size(network):
    state = network.state_dict()
    assert len(state) == TINY_ROMA.tensors and recognise(state) is TINY_ROMA and config_of(state) == TinyRomaConfig()


def test_its_loss_is_that_of_its_authors():
    """Worked by hand: one cell right to a thousandth, one near, one far, one that moving does not show."""
    warp = torch.zeros(1, 1, 4, 2)
    warp[0, 0, :, 0] = torch.tensor([0.0, 0.05, 0.5, 0.0])
    found = Prediction((DenseWarp(4, warp, torch.zeros(1, 1, 4)),), torch.zeros(0), ())
    positive = torch.tensor([[[True, True, True, False]]])
    labels = Labels(torch.zeros_like(warp), positive, torch.ones_like(positive))
    loss = tiny_roma_loss(found, [labels], (64, 64), TinyRomaObjective.weights).named()
    knee, power = 4e-4, 0.15
    near = knee**power * ((0.05 / knee) ** 2 + 1) ** (power / 2)  # within 2/512 x 4 cells x 4 px, unlike the third
    assert loss["regression_4"].item() == pytest.approx((knee**power + near) / 2, rel=1e-5)
    # All logits are 0: certainty costs log 2 whatever is right, and its gradient says that the first cell alone is.
    assert loss["total"].item() == pytest.approx(loss["regression_4"].item() + 0.01 * np.log(2), rel=1e-5)
    sure = torch.zeros(1, 1, 4, requires_grad=True)
    found = Prediction((DenseWarp(4, warp, sure),), torch.zeros(0), ())
    tiny_roma_loss(found, [labels], (64, 64), TinyRomaObjective.weights).named()["certainty_4"].backward()
    assert sure.grad.sign().flatten().tolist() == [-1, 1, 1, 1]


def test_in_training_both_scales_are_given_and_places_are_a_mean_over_all_cells(network):
    learning = copy.deepcopy(network).train()
    fixed, moving = (snapped(image)[:, :1] for image in golden.images(*golden.TINY))
    moving = F.interpolate(moving, fixed.shape[2:])
    shown = torch.ones_like(fixed, dtype=torch.bool)
    prediction = learning(fixed, shown, moving, shown)
    assert [scale.stride for scale in prediction.scales] == [8, 4]
    assert prediction.finest.warp.shape == (1, fixed.shape[2] // 4, fixed.shape[3] // 4, 2)
    with torch.no_grad():
        assert not torch.allclose(prediction.finest.warp, learning.eval()(fixed, shown, moving, shown).finest.warp)
