"""The judge measures the same on a device, many poses and pairs at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_views import pose, scene, seen_from, view
from two_sensors import two_sensor_pairs

from xmatch.matchers.search.on_device import upload
from xmatch.verification.judge import ProposalJudge
from xmatch.verification.judge_on_device import measured
from xmatch.verification.judge_settings import NAMES

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_poses_of_many_pairs_are_measured_as_each_alone(device):
    """Two sensors on one grid, and a pair of another shape; each pose as it is, off, at another scale, and outside."""
    truth = pose(130, 110, turn_deg=25, scale=1.1, shift=(4, -3))
    ground = scene(130, 110, seed=4)
    known = [two_sensor_pairs(1, 112, world, seed=0)[0] for world in ("region", "tissue")]
    known.append((view(ground), seen_from(1 - ground, truth), truth))
    away = (
        np.eye(3),
        pose(112, 112, turn_deg=9, shift=(5, 3)),
        pose(112, 112, scale=0.8),
        pose(112, 112, shift=(500, 0)),
    )
    pair, matrices = np.repeat(np.arange(3), len(away)), np.stack([off @ one[2] for one in known for off in away])
    found = measured(*upload([one[:2] for one in known], device), pair, matrices)
    for measures, which, matrix in zip(found, pair, matrices, strict=True):
        expected = ProposalJudge(*known[which][:2])(matrix)
        assert set(measures) == set(NAMES)
        assert measures == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert not any(found[3].values()) and found[0]["structure_z"] > found[1]["structure_z"]
