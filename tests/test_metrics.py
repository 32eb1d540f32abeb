"""Every expected number here can be checked with a pencil."""

import math

import numpy as np
import pytest

from xmatch import metrics
from xmatch.transforms import homography, similarity, translation

IDENTITY = translation(0, 0)
INF = float("inf")


def test_corner_error_of_a_shift_is_its_length():
    assert metrics.corner_error_px(translation(3, 4), IDENTITY, 60, 40) == pytest.approx(5)


def test_corner_error_counts_outer_corners():
    """Doubling a 30 x 40 image moves its corners by 0, 30, 50 and 40 px; centre-counted corners would move by less."""
    assert metrics.corner_error_px(similarity(scale=2), IDENTITY, 30, 40) == pytest.approx((0 + 30 + 50 + 40) / 4)


def test_no_estimate_and_a_corner_beyond_the_horizon_are_infinitely_wrong():
    beyond = homography(np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]]))
    assert metrics.corner_error_px(None, IDENTITY, 100, 100) == INF
    assert metrics.corner_error_px(beyond, IDENTITY, 100, 100) == INF


def test_grid_error_looks_only_where_the_images_overlap():
    """Fixed shows the left half of moving; the estimate is 2 px off there and undefined on the right."""

    def estimate(xy):
        return np.where(xy[:, :1] < 50, xy + [0, 2], np.nan)

    assert metrics.grid_error_px(estimate, IDENTITY, (100, 50), (50, 50)) == pytest.approx(2)
    assert metrics.grid_error_px(estimate, IDENTITY, (100, 50), (60, 50)) == INF
    assert metrics.grid_error_px(None, IDENTITY, (100, 50), (50, 50)) == INF


def test_grid_error_without_overlap_is_unknown():
    assert math.isnan(metrics.grid_error_px(IDENTITY, translation(500, 0), (100, 50), (100, 50)))


def test_auc_of_one_error_is_the_triangle_and_the_rest():
    """Recall rises from 0 at 0 px to 1 at 2 px, then stays: (2 / 2 + 2) / 4."""
    assert metrics.auc([2.0], [4.0]) == pytest.approx([75])


def test_auc_of_two_errors_and_a_failure():
    """Points (0, 0), (1, 1/3), (2, 2/3): area to 4 is 1/6 + 1/2 + 4/3 = 2."""
    assert metrics.auc([2.0, INF, 1.0], [4.0]) == pytest.approx([50])


def test_auc_of_exact_and_of_failed_registrations():
    assert metrics.auc([0.0, 0.0], [3, 5]) == pytest.approx([100, 100])
    assert metrics.auc([INF, 30.0], [3, 5]) == pytest.approx([0, 0])
    assert np.isnan(metrics.auc([], [3])).all()


def test_auc_agrees_with_the_published_code():
    """SuperGlue's models/utils.py, `pose_auc`, written out."""
    rng = np.random.default_rng(0)
    errors, thresholds = rng.exponential(5, 37), [3, 5, 10, 20]
    ordered = np.r_[0.0, np.sort(errors)]
    recall = np.r_[0.0, (np.arange(37) + 1) / 37]
    for value, threshold in zip(metrics.auc(errors, thresholds), thresholds, strict=True):
        last = np.searchsorted(ordered, threshold)
        expected = np.trapezoid(np.r_[recall[:last], recall[last - 1]], x=np.r_[ordered[:last], threshold]) / threshold
        assert value == pytest.approx(100 * expected)


def test_success_is_the_share_below_the_threshold():
    assert metrics.success_rate([1, 4.9, 5, INF], 5) == 50
    assert math.isnan(metrics.success_rate([], 5))


def test_wilson_interval_of_textbook_shares():
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    expected = {(81, 263): (25.53, 36.62), (15, 148): (6.24, 16.05), (0, 20): (0.0, 16.11), (1, 29): (0.61, 17.18)}
    for (successes, n), interval in expected.items():
        assert metrics.wilson_interval(successes, n) == pytest.approx(interval, abs=0.006)
    assert metrics.wilson_interval(0, 0) == (0, 100)


def test_bootstrap_interval_covers_the_mean_and_shrinks_with_n():
    rng = np.random.default_rng(1)

    def mean(groups):
        return np.mean([g.mean() for g in groups])

    small, large = (metrics.bootstrap_interval([rng.normal(3, 1, n)] * 2, mean, seed=2) for n in (20, 2000))
    assert small[0] < 3 < small[1] and large[0] < 3 < large[1]
    assert (large[1] - large[0]) < (small[1] - small[0]) / 5
    # Standard error of a mean of two groups of 2000 is 1 / sqrt(4000); 95 % is +-1.96 of them.
    assert large[1] - large[0] == pytest.approx(2 * 1.96 / math.sqrt(4000), rel=0.15)


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
