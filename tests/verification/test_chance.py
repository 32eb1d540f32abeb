"""Measures say what is more than chance: agreement that a shift does not destroy is none."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import scene, view

from xmatch.verification.evidence import REACH_PX, TIE_PX, _chance_log10
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


@pytest.mark.parametrize(("agreeing", "count"), [(0, 10), (1, 10), (7, 30), (30, 30), (300, 400)])
def test_what_chance_would_put_on_the_map_is_the_tail_of_a_binomial(agreeing, count):
    from scipy.stats import binom

    hit = np.pi * TIE_PX**2 / (2 * REACH_PX + 1) ** 2
    expected = max(binom.logsf(agreeing - 1, count, hit) / np.log(10), -60.0)
    assert _chance_log10(agreeing, count) == pytest.approx(expected, abs=1e-9)
