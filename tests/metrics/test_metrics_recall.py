"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from xmatch import metrics

INF = float("inf")


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


def test_auc_is_the_integral_of_the_recall_curve():
    """At 1 to 20 px, by adaptive quadrature of the curve that joins sorted errors by straight lines."""
    ordered = np.r_[0.0, np.sort(np.random.default_rng(3).exponential(6, 11))]

    def recall(error):
        return np.interp(error, ordered, np.arange(12) / 11)

    for threshold, value in zip(range(1, 21), metrics.auc(ordered[1:], range(1, 21)), strict=True):
        # SuperGlue's curve stays level between the last error below the threshold and the threshold itself.
        last = ordered[ordered < threshold][-1]
        area = quad(recall, 0, last, points=ordered[ordered < last], limit=200)[0] + recall(last) * (threshold - last)
        assert value == pytest.approx(100 * area / threshold, abs=1e-6)


def test_shares_up_to_count_the_threshold_itself():
    assert metrics.shares_up_to([1, 3, 3, INF], [0.9, 1, 3, 1e9]).tolist() == [0, 25, 75, 75]
    assert np.isnan(metrics.shares_up_to([], [1, 2])).all()


def test_shares_agree_with_counting_one_by_one():
    errors = np.random.default_rng(5).exponential(4, 50)
    for threshold in (0.5, 2.0, 7.0):
        counted = 100 * sum(e <= threshold for e in errors) / 50
        assert metrics.shares_up_to(errors, [threshold])[0] == pytest.approx(counted, abs=1e-6)
        assert metrics.success_rate(errors, threshold) == pytest.approx(counted, abs=1e-6)
