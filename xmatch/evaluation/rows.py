"""The rows of files that `xmatch eval` writes, as types: what a prediction holds, a judged pair, the numbers of a set.

predictions.schema.json and results.schema.json, beside this module, say the same to other programs; a test holds types,
schemas and a real run together. Numbers that are infinite or unknown in memory are null in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, Union

import numpy as np
from numpy.typing import NDArray

KindName = Literal["registration", "landmarks", "semantic", "pose", "tracking"]
"""Which numbers tell how good a pair is: a key of `xmatch.evaluation.scores.KINDS`."""

ErrorName = Literal["corner_error_px", "mean_tre_px", "mean_error_px", "pose_error_deg"]
"""The error that success and AUC are counted by, one a kind."""

MethodKind = Literal["matcher", "peer", "control"]

SavedTruth = Union[list[list[float]], dict[str, Any]]  # noqa: UP007 - evaluated at run time, where 3.10 wants it so
"""A truth in JSON: the rows of a matrix, or what `xmatch.evaluation.truths` writes of any other kind."""


class _Problem(TypedDict):
    code: str
    message: str


class Problem(_Problem, total=False):
    """Why a pair failed."""

    hint: str | None
    path: str | None
    trace: str
    """Of a fault of our own."""


class SavedVerdict(TypedDict, total=False):
    """What a matcher says of its own result; peers have the first three."""

    accepted: bool
    probability: float | None
    """None: it does not say how sure it is."""
    reason: str | None
    ce90_px: float | None
    ce90_ground: float | None
    ground_unit: str | None
    evidence: dict[str, float | None]


class MatchCounts(TypedDict):
    count: int | None
    inliers: int | None


class _Identity(TypedDict):
    id: str
    set: str
    related: bool


class Changed(TypedDict, total=False):
    factor: str
    """Of a sweep, or of `posed`: what was done to the pair first, and how much of it."""
    value: float


class _Prediction(_Identity, Changed):
    kind: KindName
    truth: SavedTruth | None
    """None: unrelated images."""
    error: Problem | None


class Sizes(TypedDict, total=False):
    fixed_size: list[int]
    """(width, height) px of the files that were matched."""
    moving_size: list[int]


class Answer(Sizes, total=False):
    """What was found in a pair that could be read."""

    transform: dict[str, Any] | None
    """As `Transform.as_dict` wrote it."""
    verdict: SavedVerdict
    correspondences: MatchCounts
    stages_s: dict[str, float | None]
    seconds: float
    peak_memory_mib: float | None
    error: Problem | None


class Prediction(_Prediction, total=False):
    """One line of a file of predictions: one pair for one method."""

    fixed_size: list[int]
    moving_size: list[int]
    transform: dict[str, Any] | None
    verdict: SavedVerdict
    correspondences: MatchCounts
    stages_s: dict[str, float | None]
    seconds: float
    peak_memory_mib: float | None


class Hardware(TypedDict):
    processor: str
    cores: int | None
    memory_gib: float | None
    load_before: float | None


class RunCertificate(TypedDict):
    """Under which circumstances one session's rows were born."""

    command: str
    time: str
    commit: str | None
    code_sha256: str
    versions: dict[str, str | None]
    hardware: Hardware
    jobs: int
    threads: int


class PredictionsHead(TypedDict):
    """What must be the same for rows to join a file of predictions."""

    schema: str
    recipe_sha256: str
    data_sha256: str
    weights_sha256: str | None


class PairNumbers(TypedDict, total=False):
    """The errors of a pair; each kind of truth has its own. Infinite in memory where the pair failed."""

    corner_error_px: float
    grid_error_px: float
    mma: NDArray[np.float64]
    """(10,) percent of matches within 1 to 10 px."""
    mean_tre_px: float
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


class _PairResult(_Identity, Changed):
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
    mma: dict[str, float]
    mean_median_rtre: float
    median_median_rtre: float
    mean_max_rtre: float
    median_max_rtre: float
    robustness: float
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
