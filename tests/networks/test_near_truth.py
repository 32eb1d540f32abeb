"""The benchmark of networks near the truth: what it calls right."""

from __future__ import annotations

import numpy as np
import pytest
from made_views import scene

from benchmarks.near_truth import Seen, drawn, measured, opened

IMAGE = scene(128, 128)
EVERYWHERE = np.ones((112, 112), bool)


def moved_by(pixels: int) -> Seen:
    """Moving is cut 8 px further right; said to be `pixels`."""
    corners = np.array([0, 112, 112 + 112j, 112j])
    images = (np.ascontiguousarray(IMAGE[:112, :112]), np.ascontiguousarray(IMAGE[:112, 8:120]))
    return Seen("made", images, (EVERYWHERE, EVERYWHERE), (1 + 0j, complex(-pixels), corners, 2.0), None)


def test_matches_are_right_where_the_truth_has_them():
    row = measured(opened("sift"), moved_by(8))
    assert row["matches"] > 20 and row["share"] > 0.8 and row["auc5"] > 0.8


def test_a_map_is_as_wrong_as_it_is_off_in_px_of_the_file():
    row = measured(opened("sift"), moved_by(12))
    assert row["share"] < 0.2 and row["auc5"] == 0 and row["auc10"] == pytest.approx(0.2, abs=0.1)


def test_drawn_pairs_know_where_each_place_went():
    seen = next(drawn(1, 96))
    assert seen.drawn is not None
    y, x = np.argwhere(seen.drawn.covisible[0].numpy())[::50].T
    there = (seen.drawn.warp[0, y, x].double().numpy() + 1) / 2 * 96
    off = seen.off_px(np.stack([x + 0.5, y + 0.5], 1), there + [0, 2])
    assert np.median(off) == pytest.approx(2, abs=0.05)
