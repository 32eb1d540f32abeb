"""Thresholds against hand-computed values of equations (3) and (4), and of FreeMatch with two classes."""

import pytest

from xmatch.adaptation.thresholds import THRESHOLDS, Bounds, Confidence, adaptive, fixed, freematch


def test_the_average_starts_at_a_half_and_moves_by_the_momentum():
    first = Confidence().after(0.9, 0.95, momentum=0.9)
    assert (first.matching, first.sure) == pytest.approx((0.9 * 0.5 + 0.1 * 0.9, 0.9 * 0.5 + 0.1 * 0.95))
    second = first.after(0.1, 0.9, momentum=0.9)
    assert second.matching == pytest.approx(0.9 * 0.54 + 0.01)


def test_a_batch_that_is_not_finite_changes_nothing():
    assert Confidence(0.7, 0.8).after(float("nan"), 0.9, 0.9) == Confidence(0.7, 0.8)


def test_the_adaptive_bounds_mirror_each_other_above_a_half():
    assert adaptive(Confidence(matching=0.8)) == Bounds(0.8, pytest.approx(0.2))


def test_below_a_half_the_lower_bound_does_not_pass_the_upper_one():
    assert adaptive(Confidence(matching=0.3)) == Bounds(0.3, 0.3)


def test_fixed_bounds_take_no_notice_of_confidence():
    assert fixed(Confidence(0.1, 0.1)) == fixed(Confidence()) == Bounds(0.95, pytest.approx(0.05))


def test_freematch_lowers_the_bound_of_the_rarer_class():
    """Global 0.9; matching 0.8 against 0.2: the positive class keeps 0.9, the negative one has 0.9 / 4 = 0.225, so
    that everything the network thinks more likely not to match is a negative."""
    bounds = freematch(Confidence(matching=0.8, sure=0.9))
    assert (bounds.high, bounds.low) == (pytest.approx(0.9), 0.5)
    other = freematch(Confidence(matching=0.4, sure=0.9))
    assert (other.high, other.low) == (pytest.approx(0.6), pytest.approx(0.1))


def test_every_scheme_leaves_room_between_its_bounds():
    for bounds in THRESHOLDS.values():
        for level in (0.05, 0.5, 0.95):
            found = bounds(Confidence(level, max(level, 1 - level)))
            assert 0 <= found.low <= found.high <= 1
