"""Near places are the same ones, whether all distances are computed or a tree is asked."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.geometry import neighbours
from xmatch.geometry.neighbours import count_within, nearest

PLACES = np.random.default_rng(3).uniform(0, 100, (60, 2))
AT = np.random.default_rng(4).uniform(0, 100, (25, 2))


@pytest.fixture(params=["all distances", "a tree"])
def way(request, monkeypatch):
    if request.param == "a tree":
        monkeypatch.setattr(neighbours, "MOST_DISTANCES", 0)


@pytest.mark.parametrize("count", [1, 5, 60, 100])
def test_the_nearest_places_come_nearest_first(way, count):
    distance, rows = nearest(AT, PLACES, count)
    apart = np.linalg.norm(AT[:, None] - PLACES, axis=2)
    assert rows.shape == (25, min(count, 60))
    assert (rows == np.argsort(apart, axis=1)[:, :count]).all()
    np.testing.assert_allclose(distance, np.sort(apart, axis=1)[:, :count])


def test_a_place_is_the_nearest_to_itself(way):
    assert (nearest(PLACES, PLACES, 3)[1][:, 0] == np.arange(60)).all()


def test_places_within_a_radius_are_counted(way):
    line = np.column_stack([np.arange(5.0), np.zeros(5)])
    assert count_within(line, line, 1.0).tolist() == [2, 3, 3, 3, 2]
