from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from xmatch.synth.difficulty import Difficulty, between


def test_between_reaches_both_ends_and_is_linear():
    easy, full = Difficulty.EASY, Difficulty.FULL
    assert between(easy, full, 0) == between(easy, full, -1) == easy
    assert between(easy, full, 1) == between(easy, full, 2) == full
    half = between(easy, full, 0.5)
    for field in fields(Difficulty):
        a, b, m = (getattr(d, field.name) for d in (easy, full, half))
        assert m == pytest.approx((a + b) / 2)


def test_full_is_nowhere_easier_than_easy():
    for field in fields(Difficulty):
        if field.name != "moved":  # only where a recipe asks for it
            assert getattr(Difficulty.FULL, field.name) > getattr(Difficulty.EASY, field.name)


@pytest.mark.parametrize(
    "bound", [{"gap": 2}, {"max_angle_deg": 181}, {"max_scale": 0.5}, {"elastic": 0.2}, {"noise": -0.1}]
)
def test_bounds_out_of_range_are_refused_by_name(bound):
    with pytest.raises(ValueError, match=next(iter(bound))):
        Difficulty(**bound)


@pytest.mark.parametrize("t", np.linspace(0, 1, 101))
def test_a_bound_that_both_ends_share_stays_what_it_is(t):
    full = replace(Difficulty.FULL, max_angle_deg=180.0)
    assert between(replace(Difficulty.EASY, max_angle_deg=180.0), full, t).max_angle_deg == 180.0
