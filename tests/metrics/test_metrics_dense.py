"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math

import numpy as np
import pytest

from xmatch import metrics
from xmatch.coords import pixel_centres

INF = float("inf")


def test_end_point_errors_count_covisible_pixels_only():
    true = pixel_centres(3, 2)
    warp = true.copy()
    warp[0, 0] += [3, 4]
    warp[0, 1] += [0, 1]
    warp[1] = np.nan
    covisible = np.array([[True, True, True], [False, False, False]])
    errors = metrics.end_point_errors_px(warp, true, covisible)
    assert errors.tolist() == [5, 1, 0]
    found = metrics.dense_errors(errors)
    assert (found.mean_px, found.median_px, found.n) == (2, 1, 3)
    assert found.below == pytest.approx([100 / 3, 200 / 3, 200 / 3])


def test_a_hole_in_the_warp_is_infinitely_wrong():
    errors = metrics.end_point_errors_px(np.full((1, 1, 2), np.nan), np.zeros((1, 1, 2)), np.ones((1, 1), bool))
    assert errors.tolist() == [INF]
    assert math.isnan(metrics.dense_errors(np.zeros(0)).mean_px)


def test_end_point_errors_agree_with_a_loop():
    rng = np.random.default_rng(0)
    warp, true = rng.uniform(0, 8, (2, 6, 7, 2))
    covisible = rng.uniform(size=(6, 7)) < 0.6
    one_by_one = [math.dist(warp[i, j], true[i, j]) for i in range(6) for j in range(7) if covisible[i, j]]
    found = metrics.dense_errors(metrics.end_point_errors_px(warp, true, covisible))
    assert found.mean_px == pytest.approx(sum(one_by_one) / len(one_by_one), abs=1e-6)
    assert found.median_px == pytest.approx(np.quantile(one_by_one, 0.5), abs=1e-6)
    shares = [100 * len([e for e in one_by_one if e < t]) / len(one_by_one) for t in (1, 3, 5)]
    assert found.below == pytest.approx(shares, abs=1e-6)


def test_certainty_is_the_chance_of_a_right_match():
    """Four px called 0.75: right, right, 3 px off, not covisible. One px called 0.05, not covisible."""
    certainty = np.array([[0.75, 0.75, 0.75, 0.75, 0.05]])
    true = np.zeros((1, 5, 2))
    warp = np.array([[[0.0, 0], [2.9, 0], [3, 0], [0, 0], [0, 0]]])
    covisible = np.array([[True, True, True, False, False]])
    curve = metrics.certainty_reliability(certainty, warp, true, covisible)
    assert curve.predicted == pytest.approx([0.05, 0.75])
    assert curve.observed == pytest.approx([0, 0.5])
    assert curve.expected_calibration_error == pytest.approx((0.05 + 4 * 0.25) / 5)
    known = covisible.copy()
    among = metrics.certainty_reliability(certainty, warp, true, covisible, known=known)
    assert among.observed == pytest.approx([2 / 3]) and among.count.tolist() == [3]


def test_certainty_that_is_the_truth_is_calibrated():
    """10,000 pixels that are right as often as their certainty says."""
    rng = np.random.default_rng(1)
    certainty = rng.uniform(size=(100, 100))
    warp = np.zeros((100, 100, 2))
    warp[rng.uniform(size=(100, 100)) > certainty] = 50
    curve = metrics.certainty_reliability(certainty, warp, np.zeros((100, 100, 2)), np.ones((100, 100), bool))
    assert curve.expected_calibration_error < 0.02
    overconfident = metrics.certainty_reliability(
        np.sqrt(certainty), warp, np.zeros((100, 100, 2)), np.ones((100, 100), bool)
    )
    # The mean of sqrt(u) - u over the unit interval is 2/3 - 1/2.
    assert overconfident.expected_calibration_error == pytest.approx(1 / 6, abs=0.02)
