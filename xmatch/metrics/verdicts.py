"""Whether verdicts can be believed: ROC, risk against coverage, calibration, and the rates of accepting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xmatch.metrics.intervals import wilson_interval


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


def roc(scores_right: ArrayLike, scores_wrong: ArrayLike) -> Roc | None:
    """The ROC of a score that should be high for right alignments; None when either side is empty (Fawcett 2006)."""
    right, wrong = np.sort(np.asarray(scores_right, float)), np.sort(np.asarray(scores_wrong, float))
    if not len(right) or not len(wrong):
        return None
    threshold = np.concatenate([[np.inf], np.unique(np.concatenate([right, wrong]))[::-1]])
    wrong_accepted, right_accepted = (100.0 * (1.0 - np.searchsorted(s, threshold) / len(s)) for s in (wrong, right))
    return Roc(threshold, wrong_accepted, right_accepted)


class RiskCoverage(NamedTuple):
    """What selective trust buys: accept the k highest scores, for k from 1 to n."""

    coverage: np.ndarray
    """(n,) share accepted, percent."""
    risk: np.ndarray
    """(n,) share of the accepted that are wrong, percent."""

    @property
    def area(self) -> float:
        """AURC, 0 to 1: the mean risk over the n coverages; NaN for none.

        The area of Geifman, Uziel and El-Yaniv 2019 (ICLR) under the curve of 2017. A score that knows
        nothing has the overall error rate in expectation.
        """
        return float(self.risk.mean() / 100.0) if len(self.risk) else float("nan")


def risk_coverage(scores: ArrayLike, wrong: ArrayLike) -> RiskCoverage:
    """The risk-coverage curve of scores that should be high for right ones (Geifman and El-Yaniv 2017).

    Equal scores are accepted in random order; the curve is the expectation over it, so that the order of rows does
    not matter.

    Args:
        scores: (n,).
        wrong: (n,) bool.
    """
    surest_first, faults = -np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    n = len(surest_first)
    _, group, size = np.unique(surest_first, return_inverse=True, return_counts=True)
    # Within a group of ties wrong ones come evenly: straight lines between the groups' ends.
    ends = np.concatenate([[0], np.cumsum(size)])
    errors = np.concatenate([[0.0], np.cumsum(np.bincount(group, weights=faults, minlength=len(size)))])
    accepted = np.arange(1, n + 1)
    return RiskCoverage(100.0 * accepted / max(n, 1), 100.0 * np.interp(accepted, ends, errors) / accepted)


@dataclass(frozen=True, eq=False)
class Reliability:
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


def reliability(probability: ArrayLike, right: ArrayLike, bins: int = 10) -> Reliability:
    """The reliability curve of probabilities in [0, 1] (DeGroot and Fienberg 1983)."""
    said, happened = np.asarray(probability, dtype=np.float64), np.asarray(right, dtype=np.float64)
    index = np.minimum((said * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    full = count > 0
    predicted, observed = (np.bincount(index, weights=w, minlength=bins)[full] / count[full] for w in (said, happened))
    return Reliability(predicted, observed, count[full])


@dataclass(frozen=True)
class Share:
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


def accept_rates(accepted: ArrayLike, right: ArrayLike, wrong: ArrayLike) -> AcceptRates:
    """Rates over (N,) verdicts; an item may be neither right nor wrong (a middling error), never both."""
    yes, good, bad = (np.asarray(marks, dtype=bool) for marks in (accepted, right, wrong))
    return AcceptRates(share(yes, good), share(yes, bad), share(bad, yes & (good | bad)))
