"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from xmatch import metrics


def test_roc_of_four_scores():
    """Right 0.9 and 0.4, wrong 0.6 and 0.1: three of the four comparisons are won."""
    curve = metrics.roc([0.9, 0.4], [0.6, 0.1])
    assert curve.area == pytest.approx(0.75)
    assert curve.wrong_accepted.tolist() == [0, 0, 50, 50, 100]
    assert curve.right_accepted.tolist() == [0, 50, 50, 100, 100]
    assert curve.right_accepted_at(1) == 50 and curve.right_accepted_at(50) == 100


def test_roc_counts_ties_half_and_needs_both_sides():
    assert metrics.roc([0.5, 0.5], [0.5]).area == pytest.approx(0.5)
    assert metrics.roc([], [0.5]) is None and metrics.roc([0.5], []) is None


def test_reliability_of_two_bins():
    """Bin 0.8-0.9: three at 0.8, two right; the last bin takes 1.0 itself."""
    curve = metrics.reliability([0.8, 0.8, 0.8, 1.0], [True, True, False, True])
    assert curve.predicted == pytest.approx([0.8, 1.0])
    assert curve.observed == pytest.approx([2 / 3, 1.0])
    assert curve.count.tolist() == [3, 1]
    assert curve.expected_calibration_error == pytest.approx(0.75 * (0.8 - 2 / 3))


def test_reliability_of_nothing():
    assert math.isnan(metrics.reliability([], []).expected_calibration_error)


def test_accept_rates_leave_middling_errors_out():
    rates = metrics.accept_rates(
        accepted=[True, True, False, True, False, True],
        right=[True, True, True, False, False, False],
        wrong=[False, False, False, True, True, False],
    )
    assert (rates.right_accepted.count, rates.right_accepted.n) == (2, 3)
    assert rates.right_accepted.value == pytest.approx(200 / 3)
    assert rates.wrong_accepted.value == 50
    assert rates.accepted_wrong.value == pytest.approx(100 / 3)
    assert rates.accepted_wrong.interval == metrics.wilson_interval(1, 3)
    assert math.isnan(metrics.accept_rates([True], [True], [False]).wrong_accepted.value)


def test_area_under_roc_agrees_with_the_rank_test_of_scipy():
    rng = np.random.default_rng(0)
    right, wrong = rng.normal(1, 1, 40).round(1), rng.normal(0, 1, 30).round(1)
    won = stats.mannwhitneyu(right, wrong).statistic
    assert metrics.roc(right, wrong).area == pytest.approx(won / (40 * 30), abs=1e-6)


def test_calibration_error_agrees_with_sums_bin_by_bin():
    rng = np.random.default_rng(1)
    probability = rng.uniform(size=200)
    right = rng.uniform(size=200) < probability**2
    expected = 0.0
    for i in range(10):
        inside = [(p, r) for p, r in zip(probability, right, strict=True) if i / 10 <= p < (i + 1) / 10]
        expected += abs(sum(p for p, _ in inside) - sum(r for _, r in inside)) / 200
    assert metrics.reliability(probability, right).expected_calibration_error == pytest.approx(expected, abs=1e-6)


def test_risk_coverage_of_four_scores():
    """From the highest score down: right, wrong, right, wrong."""
    curve = metrics.risk_coverage([0.9, 0.8, 0.4, 0.1], [False, True, False, True])
    assert curve.coverage.tolist() == [25, 50, 75, 100]
    assert curve.risk == pytest.approx([0, 50, 100 / 3, 50])
    assert curve.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_risk_coverage_sorts_by_score_and_agrees_with_counting():
    rng = np.random.default_rng(2)
    scores, wrong = rng.uniform(size=25), rng.uniform(size=25) < 0.4
    risks = [np.mean([w for s, w in zip(scores, wrong, strict=True) if s >= t]) for t in sorted(scores)]
    curve = metrics.risk_coverage(scores, wrong)
    assert curve.area == pytest.approx(np.mean(risks), abs=1e-6)
    assert curve.risk == pytest.approx(100 * np.array(risks[::-1]), abs=1e-6)


def test_risk_of_ties_is_the_mean_over_their_orders():
    wrong = np.array([True, False, False, True])
    orders = [np.cumsum(wrong[list(order)]) / [1, 2, 3, 4] for order in itertools.permutations(range(4))]
    curve = metrics.risk_coverage([0.5] * 4, wrong)
    assert curve.risk == pytest.approx(100 * np.mean(orders, axis=0), abs=1e-6)
    assert curve.area == pytest.approx(0.5)


def test_risk_coverage_of_nothing():
    assert math.isnan(metrics.risk_coverage([], []).area)
