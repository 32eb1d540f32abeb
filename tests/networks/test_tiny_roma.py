"""Tiny RoMa: what its authors' code answers with the same random weights, and weights under their published names."""

from __future__ import annotations

import make_roma_golden as golden
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xmatch.networks.registry import recognise
from xmatch.networks.tiny_roma.config import TinyRomaConfig
from xmatch.networks.tiny_roma.entry import TINY_ROMA, config_of
from xmatch.networks.tiny_roma.network import TinyRoma
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
