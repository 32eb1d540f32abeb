"""Measures say what is more than chance: agreement that a shift does not destroy is none."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import scene, view

from xmatch.verification.judge import ProposalJudge

SIDE = 200


def stripes(seed: int) -> np.ndarray:
    """All edges run alike, wherever they lie."""
    lines = np.random.default_rng(seed).uniform(0.2, 0.8, SIDE // 4)
    return np.repeat(np.tile(lines, (SIDE, 1)), 4, axis=1).astype(np.float32)


@pytest.mark.parametrize("name", ["structure", "information_gain"])
def test_edges_that_all_run_one_way_agree_everywhere_and_so_by_chance(name):
    unrelated = ProposalJudge(view(stripes(1)), view(stripes(2)))(np.eye(3))
    related = ProposalJudge(view(scene(SIDE, SIDE)), view(1 - scene(SIDE, SIDE)))(np.eye(3))
    assert unrelated[name] < 0.25 * related[name]
