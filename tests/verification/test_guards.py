"""What stands in the way of an alignment that would otherwise be accepted."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.verification.evidence import MOST_OFF, MOST_OFF_FOR_ON, Following, following

FOLLOWED = {"count": 100, "agreeing": 90, "coherent": 90}


@pytest.mark.parametrize(
    ("off", "on", "is_bent"),
    [
        (0.0, 0.9, False),
        (MOST_OFF - 0.01, 0.0, False),  # so few that chance may have put them there
        (MOST_OFF, 0.0, True),
        (MOST_OFF_FOR_ON * 0.6 - 0.01, 0.6, False),  # but more lie on the map
        (MOST_OFF_FOR_ON * 0.6, 0.6, True),
    ],
)
def test_regions_that_lie_elsewhere_together_speak_of_a_bend(off, on, is_bent):
    assert Following(**FOLLOWED, regions_share=on, regions_off=off).is_bent == is_bent


def test_tie_points_that_bend_together_are_told_though_regions_say_nothing():
    followed = FOLLOWED | {"agreeing": 20, "coherent": 60}
    assert Following(**followed).is_bent and not Following(**followed | {"agreeing": 40}).is_bent


def test_a_part_that_lies_elsewhere_as_one_is_seen():
    at = np.stack(np.meshgrid(np.arange(14), np.arange(12)), -1).reshape(-1, 2) * 20.0
    noise = np.random.default_rng(0).normal(0, 0.5, at.shape)
    raised = (at > 30).all(axis=1) & (at < 220).all(axis=1)
    found = following(at + noise + np.where(raised[:, None], (5.0, 0.0), 0.0), at, np.ones(len(at), bool))
    assert found.apart == pytest.approx(raised.mean(), abs=0.1) and found.silent == 0 and not found.is_bent
    assert following(at + noise, at, np.ones(len(at), bool)).apart == 0


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_part_where_nothing_agrees_is_seen_beside_one_where_all_does(share):
    at = np.stack(np.meshgrid(np.arange(14), np.arange(12)), -1).reshape(-1, 2) * 20.0
    is_strange = at[:, 0] < share * 280
    rng = np.random.default_rng(0)
    mapped = at + np.where(is_strange[:, None], rng.uniform(-8, 8, at.shape), 0.3)
    assert following(mapped, at, ~is_strange).silent == pytest.approx(share, abs=0.15)
    # As many that agree, but anywhere: two sensors that show little alike, and no part of its own.
    mixed = rng.permutation(is_strange)
    mapped = at + np.where(mixed[:, None], rng.uniform(-8, 8, at.shape), 0.3)
    assert following(mapped, at, ~mixed).silent == 0
