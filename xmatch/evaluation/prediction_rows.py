"""The lines of a file of predictions, as types; predictions.schema.json says the same to other programs.

A test holds types, schema and a real run together. Numbers that are infinite or unknown are null in JSON.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

KindName = Literal["registration", "landmarks", "semantic", "pose", "tracking", "bend"]
"""Which numbers tell how good a pair is: a key of `xmatch.evaluation.scores.KINDS`."""

ErrorName = Literal["corner_error_px", "overlap_p90_px", "mean_tre_px", "mean_error_px", "pose_error_deg"]
"""The error that success and AUC are counted by, one a kind."""

MethodKind = Literal["matcher", "peer", "control", "feature"]

SavedTruth = list[list[float]] | dict[str, Any]
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
    matcher: str | None
    """Which one of a plan found it."""
    calibration: str | None
    """Matcher whose registrations the probability was fitted to."""


Cells = list[list[float | None]]
"""Rows of a lattice over the fixed image; null where the images do not overlap."""


class SavedErrorMap(TypedDict):
    """`xmatch.result.ErrorMap`."""

    origin_xy: list[float]
    cell_px: list[float]
    ce90_px: Cells
    share: Cells
    matched_px: float
    measures: dict[str, Cells]


class MatchCounts(TypedDict):
    count: int | None
    inliers: int | None


class PairIdentity(TypedDict):
    id: str
    set: str
    related: bool


class Changed(TypedDict, total=False):
    factor: str
    """Of a sweep: what was done to the pair first, and how much of it."""
    value: float


class Places(TypedDict, total=False):
    """Of a moving image that was warped: what is not outside of it."""

    moving_corners: list[list[float]]
    """(4, 2) px: where the corners of the image as it was lie."""
    moving_seen: list[str]
    """A row of `metrics.overlap_lattice` each: "1" where moving is valid, "0" where not."""


class _Prediction(PairIdentity, Changed, Places):
    kind: KindName
    truth: SavedTruth | None
    """None: unrelated images."""
    error: Problem | None


class Sizes(TypedDict, total=False):
    fixed_size: list[int]
    """(width, height) px of the files that were matched."""
    moving_size: list[int]


class FoundPoints(TypedDict):
    """Where the points of the truth were found, one by one: landmarks and keypoints of moving in fixed, tracks in the
    later frame."""

    xy: list[list[float]]
    visible: list[bool] | None
    """Of tracks."""


class _Found(Sizes, total=False):
    points: FoundPoints | None
    """Of features, which have no transform."""
    transform: dict[str, Any] | None
    """As `Transform.as_dict` wrote it."""
    verdict: SavedVerdict
    correspondences: MatchCounts
    stages_s: dict[str, float | None]
    error_map: SavedErrorMap | None
    seconds: float
    peak_memory_mib: float | None


class Answer(_Found, total=False):
    """What was found in a pair that could be read."""

    error: Problem | None


class PredictionRow(_Prediction, _Found):
    """One line of a file of predictions: one pair for one method."""


class Hardware(TypedDict):
    processor: str
    cores: int | None
    memory_gib: float | None
    load_before: float | None


class _RunCertificate(TypedDict):
    command: str
    time: str
    commit: str | None
    code_sha256: str
    versions: dict[str, str | None]
    hardware: Hardware
    jobs: int
    threads: int


class RunCertificate(_RunCertificate, total=False):
    """Under which circumstances one session's rows were born."""

    at_once: int
    """Pairs that shared a GPU, where they did: a pair's seconds are those that it took beside the others."""


class PredictionsHead(TypedDict):
    """What must be the same for rows to join a file of predictions."""

    schema: str
    recipe_sha256: str
    data_sha256: str
    weights_sha256: str | None


class FirstLine(PredictionsHead):
    """The line that opens a file of predictions."""

    matcher: str
    recipe: dict[str, Any]


class RunLine(TypedDict):
    """The line that opens the rows of a session."""

    run: RunCertificate
