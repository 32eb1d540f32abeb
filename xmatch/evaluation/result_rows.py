"""The rows of a results document, as types: a judged pair, the numbers of a set, and what is said of a method.

results.schema.json says the same to other programs; a test holds types, schema and a real run together. Numbers that
are infinite or unknown in memory are null in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from xmatch.evaluation.prediction_rows import (
    Changed,
    KindName,
    MethodKind,
    PairIdentity,
    Problem,
    RunCertificate,
)


class PairNumbers(TypedDict, total=False):
    """The errors of a pair; each kind of truth has its own. Infinite in memory where the pair failed."""

    corner_error_px: float
    grid_error_px: float
    overlap_median_px: float
    overlap_p90_px: float
    overlap_below_percent: dict[str, float]
    ce90_px: float | None
    """What the verdict says of `overlap_p90_px`."""
    error_map_percent: float | None
    """Share of the overlap that lies within the expected error of its own cell; None without such a map."""
    mma: NDArray[np.float64]
    """(10,) percent of matches within 1 to 10 px."""
    mean_tre_px: float
    median_tre_px: float
    median_tre_of_affine: float
    """The same divided by what the affine map leaves that was fitted to the landmarks themselves."""
    median_rtre: float
    max_rtre: float
    robustness: float
    landmarks: int
    mean_error_px: float
    keypoint_errors_px: NDArray[np.float64]
    """(N,)."""
    box_px: float | None
    image_px: float
    pose_error_deg: float
    epipolar_precision: float
    predicted_xy: NDArray[np.float64]
    """(N, 2), of tracks, as the three below; they stay in memory."""
    predicted_visible: NDArray[np.bool_]
    true_xy: NDArray[np.float64]
    true_visible: NDArray[np.bool_]


class CellNumbers(TypedDict, total=False):
    """Of dense matchers: end-point errors over the covisible cells of a pair, moving px."""

    end_point_error_px: float
    median_end_point_error_px: float
    cells_below_percent: dict[str, float]
    covisible_cells: int
    certainty_calibration_error: float
    cell_certainty: NDArray[np.float64]
    """(N,), as the next; they stay in memory."""
    cell_right: NDArray[np.bool_]


class _PairResult(PairIdentity, Changed):
    accepted: bool
    probability: float | None
    seconds: float | None
    peak_memory_mib: float | None
    failure: str | None
    """The code of its problem."""


class PairResult(_PairResult, PairNumbers, CellNumbers):
    """One pair of the results: identity, cost, verdict and errors."""


IN_MEMORY = (
    ("predicted_xy", "predicted_visible", "true_xy", "true_visible")
    + ("cell_certainty", "cell_right")
)  # fmt: skip
"""Fields of pairs that only the numbers of sets are made from."""


class WithInterval(TypedDict):
    """A number with its 95 % interval."""

    value: float
    interval: list[float]


class _SetNumbers(TypedDict):
    n: int
    failed: int
    auc: dict[str, WithInterval]
    """Threshold -> area under the recall curve up to it, percent."""
    success: dict[str, WithInterval]
    """Threshold -> share of pairs below it, percent."""
    seconds_per_pair: float | None
    seconds_p95: float | None
    peak_memory_mib: float | None


class KindNumbers(TypedDict, total=False):
    """Numbers of a set that only some kinds of truth have."""

    grid_auc: dict[str, float]
    overlap_median_px: float
    """Medians over the pairs of a set, as the next."""
    overlap_p90_px: float
    overlap_below_percent: dict[str, float]
    verdicts: dict[str, WithInterval]
    """Percent of right pairs accepted, of wrong ones, and of accepted ones whose expected error holds 90 % of the
    overlap."""
    error_map_percent: float
    """Mean over the accepted pairs."""
    mma: dict[str, float]
    mean_median_rtre: float
    median_median_rtre: float
    mean_max_rtre: float
    median_max_rtre: float
    robustness: float
    median_tre_px: float
    """Medians over pairs of the pairs' medians, as the next, which is in percent."""
    median_tre_of_affine_percent: float
    pck_box_per_image: dict[str, float]
    pck_box_per_point: dict[str, float]
    pck_image_per_image: dict[str, float]
    pck_image_per_point: dict[str, float]
    epipolar_precision: float
    average_jaccard: float
    average_position_accuracy: float
    occlusion_accuracy: float
    end_point_error_px: float
    median_end_point_error_px: float
    cells_below_percent: dict[str, float]
    certainty_calibration_error: float
    certainty_right: dict[str, float]


class MedianError(TypedDict, total=False):
    """In the unit of the kind."""

    median_error_px: float | None
    median_error_deg: float | None


class SetNumbers(_SetNumbers, KindNumbers, MedianError):
    """The numbers of one set, or their mean over several."""


class CountedShare(TypedDict):
    """A share in percent with what it was counted from."""

    value: float | None
    count: int
    n: int
    interval: list[float]


class RocCurve(TypedDict):
    area: float
    right_accepted_at_1_percent_wrong: float
    threshold: list[float | None]
    wrong_accepted: list[float]
    right_accepted: list[float]


class ReliabilityCurve(TypedDict):
    expected_calibration_error: float
    predicted: list[float]
    observed: list[float]
    count: list[int]


class RiskCurve(TypedDict):
    area: float
    coverage: list[float]
    risk: list[float]


class VerdictNumbers(TypedDict):
    """Whether the verdicts of a method can be believed; curves are None where it does not say how sure it is."""

    right_accepted: CountedShare
    wrong_accepted: CountedShare
    accepted_wrong: CountedShare
    wrong_related_accepted: CountedShare
    unrelated_accepted: CountedShare
    roc: RocCurve | None
    reliability: ReliabilityCurve | None
    risk_coverage: RiskCurve | None


class PairCounts(TypedDict):
    related: int
    unrelated: int
    failed: int


class Certificate(TypedDict):
    data_sha256: str
    seed: int
    runs: list[RunCertificate]
    mixed_code: bool
    """Rows by different versions of the code do not add up to one number."""


class MethodCertificate(Certificate):
    recipe_sha256: str
    weights_sha256: str | None


class MethodResults(TypedDict):
    """All numbers of one matcher, peer or control."""

    kind_of_method: MethodKind
    ok: bool
    kind: KindName
    n: PairCounts
    sets: dict[str, SetNumbers]
    mean: SetNumbers | None
    """Sets weigh equally."""
    all: SetNumbers | None
    """Pairs weigh equally."""
    verdict: VerdictNumbers
    pairs: list[PairResult]
    certificate: MethodCertificate


class IdentifiedProblem(Problem):
    """A pair that failed."""

    id: str


class Failure(IdentifiedProblem):
    """A pair that failed, and whose."""

    matcher: str


class MethodSummary(MethodResults, total=False):
    """The same with its failures, which documents list for all methods together."""

    failures: list[IdentifiedProblem]


class SweepResults(TypedDict):
    """Success against one factor that the pairs were changed by."""

    label: str
    values: list[float]
    threshold: float
    n: int
    matchers: dict[str, list[float | None]]
    """Name -> percent at each value."""
    intervals: dict[str, list[list[float]]]


class _ResultsDocument(TypedDict):
    schema: str
    ok: bool
    """No pair failed, controls included."""
    kind: KindName
    recipe: dict[str, Any]
    matchers: dict[str, MethodResults]
    failures: list[Failure]
    certificate: Certificate


class ResultsDocument(_ResultsDocument, total=False):
    """What `xmatch eval` writes."""

    sweeps: dict[str, SweepResults]


def number_at(row: Mapping[str, object], *path: str) -> object:
    """The value at a path of keys; None where a key is missing."""
    found: object = row
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found
