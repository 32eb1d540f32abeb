"""How far a number might be off because it was measured on so few."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Score interval of a share, percent (Wilson 1927, JASA 22); the default z gives 95 %. (0, 100) for n = 0.

    Unlike the normal approximation it stays honest at 0 and n successes, where benchmarks of verdicts live.
    """
    if n == 0:
        return 0.0, 100.0
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (100.0 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return float(max(low, 0.0)), float(min(high, 100.0))


def bootstrap_interval(
    groups: Sequence[np.ndarray],
    statistic: Callable[[list[np.ndarray]], np.ndarray | float],
    *,
    at_once: bool = False,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval (low, high) of `statistic` when each group is drawn anew from itself (Efron 1979).

    Args:
        groups: arrays (n_g, ...) of independent rows; each keeps its size, so a mean over sets stays one. Rows of one
            set are one group.
        statistic: groups -> number or (K,) array.
        at_once: `statistic` is called once, with all draws of each group, (resamples, n_g, ...), and returns an array
            (resamples, ...): many times as fast where the groups are small.
    """
    rng = np.random.default_rng(seed)
    drawn = [[rng.integers(0, len(g), len(g)) for g in groups] for _ in range(resamples)]
    if at_once:
        draws = np.asarray(
            statistic([g[np.array(rows)] for g, rows in zip(groups, zip(*drawn, strict=True), strict=True)])
        )
    else:
        draws = np.array([statistic([g[rows] for g, rows in zip(groups, each, strict=True)]) for each in drawn])
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    return low, high
