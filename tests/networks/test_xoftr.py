"""XoFTR: what its authors' code finds with the same random weights, and weights under their published names."""

from __future__ import annotations

import make_xoftr_golden as golden
import numpy as np
import torch

from xmatch.networks.registry import recognise
from xmatch.networks.xoftr.config import XoftrConfig
from xmatch.networks.xoftr.entry import XOFTR, config_of
from xmatch.networks.xoftr.network import Xoftr, standardised_where
from xmatch.networks.xoftr.runner import XoftrRunner

CONFIG = XoftrConfig(golden.DIMS, golden.HEADS, golden.LAYERS, golden.THRESHOLD, golden.FINE_THRESHOLD)


def test_correspondences_and_names_of_tensors_are_those_of_its_authors():
    network, expected = Xoftr(CONFIG), np.load(golden.GOLDEN)
    state = golden.weights({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    assert sorted(state) == expected["names"].tolist()
    network.load_state_dict(state)
    runner = XoftrRunner(network)
    found = runner.match(*(runner.describe(one, np.ones(one.shape, bool)) for one in golden.images()))
    inside = ((expected["moving_xy"] >= 0) & (expected["moving_xy"] < (120, 88))).all(1)
    assert inside.sum() > 20 and len(set(expected["fixed_xy"].round().astype(int)[:, 0])) > 5
    for name in ("fixed_xy", "moving_xy", "certainty"):
        np.testing.assert_allclose(getattr(found, name), expected[name][inside], atol=1e-3)


def test_published_weights_have_so_many_tensors_and_tell_their_size():
    with torch.device("meta"):
        state = Xoftr(XoftrConfig()).state_dict()
    assert len(state) == XOFTR.tensors and recognise(state) is XOFTR and config_of(state) == XoftrConfig()


def test_an_image_is_standardised_by_what_is_valid_of_it():
    image, valid = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16) > 0.4
    found = standardised_where(torch.where(valid, image, 50.0), valid)
    assert (found[~valid] == 0).all()
    assert abs(found[valid].mean()) < 1e-5 and abs(found[valid].std() - 1) < 1e-4
    assert (standardised_where(image, torch.zeros_like(valid)) == 0).all()
