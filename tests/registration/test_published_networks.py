"""A file of weights as published is all that `register` needs."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from made_views import scene

from xmatch.io import open_source
from xmatch.networks.registry import ARCHITECTURES
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register

SHIFT_PX = (32.0, -16.0)
"""A multiple of XFeat's cells, so that even untrained it describes both images alike."""


@pytest.fixture
def pair(tmp_path):
    image = np.rint(255 * scene(320, 320)).astype(np.uint8)
    image = image // 2 + np.random.default_rng(1).integers(0, 120, image.shape, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "fixed.tif", image[32:288, 32:288])
    tifffile.imwrite(tmp_path / "moving.tif", image[16:272, 64:320])
    return tmp_path / "fixed.tif", tmp_path / "moving.tif"


def test_a_pair_is_registered_by_the_network_of_a_file(pair, tmp_path):
    entry = ARCHITECTURES["xfeat"]
    torch.manual_seed(0)
    torch.save({"state_dict": entry.build(entry.config(None, {})).state_dict()}, tmp_path / "as-published.pth")
    options = RegisterOptions(weights=str(tmp_path / "as-published.pth"), device="cpu", threads=1)
    with open_source(pair[0]) as fixed, open_source(pair[1]) as moving:
        found = register(fixed, moving, options)
    assert found.verdict.accepted and found.verdict.matcher == "xfeat"
    middle = np.array([[128.0, 128.0]])
    np.testing.assert_allclose(found.transform(middle) - middle, [SHIFT_PX], atol=0.1)
    assert sum("not calibrated for xfeat" in text for text in (found.verdict.reason, *found.notes)) == 1


def test_where_nothing_is_found_nothing_is_said_of_a_probability(pair, tmp_path):
    tifffile.imwrite(tmp_path / "flat.tif", np.full((256, 256), 90, np.uint8))
    with open_source(pair[0]) as fixed, open_source(tmp_path / "flat.tif") as moving:
        found = register(fixed, moving, RegisterOptions(matcher="mi", threads=1))
    assert not found.verdict.accepted and not any("calibrated" in note for note in found.notes)
