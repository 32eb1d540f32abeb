"""Every expected number here can be checked with a pencil, or comes from code written independently."""

import math

import numpy as np
import pytest
from scipy import stats

from xmatch import metrics


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


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 11), (50, 100), (9, 9)])
def test_wilson_interval_agrees_with_scipy(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert metrics.wilson_interval(successes, n) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-5)
    exact_z = stats.norm.ppf(0.975)
    assert metrics.wilson_interval(successes, n, exact_z) == pytest.approx(
        (100 * expected.low, 100 * expected.high), abs=1e-6
    )


def test_bootstrap_interval_of_rows_is_the_percentiles_of_redrawn_statistics():
    """One group of rows; the draws are those of numpy's generator with the same seed."""
    rows = np.random.default_rng(0).normal(size=(30, 2))

    def slope(groups):
        return np.polyfit(*groups[0].T, 1)[0]

    rng = np.random.default_rng(7)
    drawn = sorted(slope([rows[rng.integers(0, 30, 30)]]) for _ in range(201))
    low, high = metrics.bootstrap_interval([rows], slope, confidence=0.9, resamples=201, seed=7)
    # With 201 sorted draws the 5th and the 95th percentile are the numbers 10 and 190.
    assert (low, high) == pytest.approx((drawn[10], drawn[190]), abs=1e-9)


def test_bootstrap_interval_agrees_with_scipy_as_far_as_chance_allows():
    rows = np.random.default_rng(2).exponential(size=200)
    ours = metrics.bootstrap_interval([rows], lambda groups: np.median(groups[0]), resamples=2000)
    theirs = stats.bootstrap((rows,), np.median, method="percentile", n_resamples=2000, rng=np.random.default_rng(3))
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.03)


def test_the_same_seed_draws_the_same_interval():
    rows = [np.arange(10.0)]
    first, again, other = (metrics.bootstrap_interval(rows, lambda g: g[0].mean(), seed=s) for s in (1, 1, 2))
    assert first == again and first != other
