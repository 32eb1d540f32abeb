"""Numbers that say how good registrations are: errors in px, shares in percent, calibration of verdicts.

Pure functions on numpy. A registration that failed has the error infinity, never a missing row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from xmatch.coords import corners, pixel_centres
from xmatch.transforms import Transform


def corner_error_px(estimate: Transform | None, truth: Transform, width: int, height: int) -> float:
    """Mean distance between the four outer corners of moving mapped by `estimate` and by `truth`, fixed px.

    As in HPatches homography benchmarks (SuperPoint, DeTone et al. 2018, section 7.3), with corners counted at
    the outer edges of the image. Infinity when there is no estimate or a corner has no finite image.
    """
    return _mean_distance(estimate, truth, corners(width, height))


def grid_error_px(
    estimate: Transform | None,
    truth: Transform,
    moving_size: tuple[int, int],
    fixed_size: tuple[int, int],
    nodes: int = 32,
) -> float:
    """Mean distance over a lattice of moving pixels whose true place lies inside fixed, fixed px.

    The lattice has about `nodes` nodes along the shorter side. Sizes are (width, height) px. Unlike the corner
    error it asks only where both images see the scene. NaN when the images do not overlap; infinity when there is
    no estimate or it is not finite there.
    """
    width, height = moving_size
    lattice = pixel_centres(width, height, step=max(1, min(width, height) // nodes)).reshape(-1, 2)
    target = truth(lattice)
    inside = ((target >= 0) & (target <= np.array(fixed_size))).all(axis=1)
    return _mean_distance(estimate, truth, lattice[inside]) if inside.any() else float("nan")


def _mean_distance(estimate: Transform | None, truth: Transform, xy: np.ndarray) -> float:
    if estimate is None:
        return float("inf")
    error = float(np.linalg.norm(estimate(xy) - truth(xy), axis=1).mean())
    return error if np.isfinite(error) else float("inf")


def auc(errors: Sequence[float], thresholds: Sequence[float]) -> np.ndarray:
    """(T,) area under the recall curve from 0 up to each threshold, percent of the whole; NaN for no errors.

    The exact trapezoid of SuperGlue's `pose_auc` (Sarlin et al. 2020), which RoMa and MINIMA use too: the recall
    curve joins (0, 0) and (sorted error i, i / N) by straight lines and stays level after the last one.
    """
    errors = np.sort(np.asarray(errors, dtype=np.float64))
    if not len(errors):
        return np.full(len(thresholds), np.nan)
    recall = np.arange(len(errors) + 1) / len(errors)
    errors = np.concatenate([[0.0], errors])
    areas = []
    for threshold in thresholds:
        last = np.searchsorted(errors, threshold)
        x = np.append(errors[:last], threshold)
        y = np.append(recall[:last], recall[max(last - 1, 0)])
        areas.append(100.0 * np.trapezoid(y, x) / threshold)
    return np.array(areas)


def success_rate(errors: Sequence[float], threshold: float) -> float:
    """Share of errors below `threshold`, percent; NaN for no errors."""
    errors = np.asarray(errors, dtype=np.float64)
    return float(100.0 * (errors < threshold).mean()) if len(errors) else float("nan")


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
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval (low, high) of `statistic` when each group is drawn anew from itself (Efron 1979).

    Args:
        groups: arrays (n_g, ...) of independent items; each keeps its size, so a mean over sets stays one.
        statistic: groups -> number or (K,) array.
    """
    rng = np.random.default_rng(seed)
    draws = [statistic([g[rng.integers(0, len(g), len(g))] for g in groups]) for _ in range(resamples)]
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(np.array(draws), [tail, 100.0 - tail], axis=0)
    return low, high


class Roc(NamedTuple):
    """A receiver operating characteristic, from accepting nothing to accepting all; percent."""

    threshold: np.ndarray
    """(K,) accept where score >= threshold; the first is infinity."""
    wrong_accepted: np.ndarray
    """(K,) share of wrong ones accepted."""
    right_accepted: np.ndarray
    """(K,) share of right ones accepted."""

    @property
    def area(self) -> float:
        """Area under the curve, 0 to 1: the chance that a right one scores above a wrong one, ties counting half."""
        return float(np.trapezoid(self.right_accepted, self.wrong_accepted)) / 1e4

    def right_accepted_at(self, wrong_accepted: float) -> float:
        """Largest share of right ones accepted while at most `wrong_accepted` percent of the wrong ones are."""
        return float(self.right_accepted[self.wrong_accepted <= wrong_accepted].max())


def roc(scores_right: Sequence[float], scores_wrong: Sequence[float]) -> Roc | None:
    """The ROC of a score that should be high for right alignments; None when either side is empty (Fawcett 2006)."""
    right, wrong = np.sort(np.asarray(scores_right, float)), np.sort(np.asarray(scores_wrong, float))
    if not len(right) or not len(wrong):
        return None
    threshold = np.concatenate([[np.inf], np.unique(np.concatenate([right, wrong]))[::-1]])
    accepted = [100.0 * (1.0 - np.searchsorted(s, threshold) / len(s)) for s in (wrong, right)]
    return Roc(threshold, *accepted)


class Reliability(NamedTuple):
    """Predicted probability against what happened, in bins of equal width; empty bins are left out."""

    predicted: np.ndarray
    """(B,) mean probability in the bin."""
    observed: np.ndarray
    """(B,) share that was right."""
    count: np.ndarray
    """(B,) items in the bin."""

    @property
    def expected_calibration_error(self) -> float:
        """Mean |predicted - observed| weighted by count, 0 to 1 (Guo et al. 2017, equation 3); NaN for no items."""
        n = self.count.sum()
        return float((self.count * np.abs(self.predicted - self.observed)).sum() / n) if n else float("nan")


def reliability(probability: Sequence[float], right: Sequence[bool], bins: int = 10) -> Reliability:
    """The reliability curve of probabilities in [0, 1] (DeGroot and Fienberg 1983)."""
    probability, right = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.float64)
    index = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    full = count > 0
    means = [np.bincount(index, weights=w, minlength=bins)[full] / count[full] for w in (probability, right)]
    return Reliability(*means, count[full])


class Share(NamedTuple):
    """A share with what it was counted from and its 95 % interval; percent, NaN of nothing."""

    value: float
    count: int
    n: int
    interval: tuple[float, float]


def share(of: np.ndarray, among: np.ndarray) -> Share:
    """How many of the items marked in `among` (N,) are also marked in `of` (N,)."""
    count, n = int((of & among).sum()), int(among.sum())
    return Share(100.0 * count / n if n else float("nan"), count, n, wilson_interval(count, n))


class AcceptRates(NamedTuple):
    """How verdicts did."""

    right_accepted: Share
    """Of the right alignments, those accepted."""
    wrong_accepted: Share
    """Of the wrong alignments, those accepted."""
    accepted_wrong: Share
    """Of the accepted ones that are clearly right or wrong, those wrong: what a user who trusts verdicts suffers."""


def accept_rates(accepted: Sequence[bool], right: Sequence[bool], wrong: Sequence[bool]) -> AcceptRates:
    """Rates over (N,) verdicts; an item may be neither right nor wrong (a middling error), never both."""
    accepted, right, wrong = (np.asarray(a, dtype=bool) for a in (accepted, right, wrong))
    return AcceptRates(share(accepted, right), share(accepted, wrong), share(wrong, accepted & (right | wrong)))
