"""The JSON documents of a registration and of an adaptation, as types.

Of a registration registration.schema.json says the same to other programs; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

ImageFacts = dict[str, Any]
"""What is known of a file: path, width, height, dtype, bands, crs, ... and whatever its format adds
(`xmatch.provenance.describe`)."""


class VerdictPart(TypedDict):
    accepted: bool
    probability: float | None
    reason: str
    ce90_px: float | None
    ce90_ground: float | None
    ground_unit: str | None
    evidence: dict[str, float | None]
    matcher: NotRequired[str | None]
    calibration: NotRequired[str | None]
    """The matcher that the probability was fitted to."""


class Correction(TypedDict):
    """How far from its given place the moving image was found, over the part of it that lies in the fixed image."""

    east_m: float
    """The way from the given place to the one found, at the middle of the overlap, as the next."""
    north_m: float
    distance_m: float
    """Its length."""
    rotation_deg: float
    """The turn on top of the given one, positive clockwise on a map with north up."""
    scale: float
    """Of the place found, by the given one."""
    greatest_m: float
    """The longest way of any place in the overlap."""
    crs_shift: list[float]
    """The same way in the fixed image's CRS, x and y in its own units: what to add to a geotransform."""
    ignored: bool
    """Whether the georeferencing of moving had been left out of account (`--ignore-georef`)."""


class AffinePart(TypedDict):
    """The affine map nearest to a transform, taken apart."""

    shift_px: list[float]
    """Where moving's first corner lands, fixed px."""
    centre_xy: list[float]
    """Where moving's centre lands, fixed px."""
    rotation_deg: float
    """Moving's x axis in the fixed image, positive clockwise as displayed."""
    scale_xy: list[float]
    """Fixed px per moving px along moving's axes."""
    shear_deg: float
    """How far moving's y axis leans from the right angle."""
    mirrored: bool
    """Whether the map turns the image over."""
    departure_px: float
    """Largest distance between the transform and this affine map, fixed px: perspective or bending."""


class _TransformPart(TypedDict):
    kind: str
    matrix: list[list[float]] | None
    direction: str
    pixel_origin: str
    affine_part: AffinePart | None


class TransformPart(_TransformPart, total=False):
    """With what `Transform.as_dict` says of a map that bends: a spline has the first three, a grid the others."""

    moving_xy: list[list[float]]
    fixed_xy: list[list[float]]
    smoothing: float
    origin_xy: list[float]
    step_xy: list[float]
    target_xy: list[list[list[float | None]]]
    held: list[list[int]]
    """1 for each node that the map is not only continued to; missing where it is to none."""


class CorrespondencesPart(TypedDict):
    count: int
    inliers: int


class HistogramPart(TypedDict):
    edges_px: list[float]
    """One more than counts."""
    counts: list[int]


class ResidualsPart(TypedDict):
    """Of the inliers, fixed px."""

    median_px: float
    rms_px: float
    p90_px: float
    max_px: float
    histogram: HistogramPart


class CheckPointsPart(TypedDict):
    """The map measured at control points that no fit has seen."""

    count: int
    unmapped: int
    """Points that the map puts nowhere."""
    rmse_px: float | None
    """None, as the next, where no point is mapped."""
    ce90_px: float | None
    max_px: float | None
    rmse_ground: float | None
    ce90_ground: float | None
    ground_unit: str | None


class ErrorMapPart(TypedDict):
    """The expected error on cells over the overlap, rows from top to bottom; None where the images do not overlap."""

    origin_xy: list[float]
    """Outer corner of the first cell, fixed px."""
    cell_px: list[float]
    """Width and height of a cell, fixed px."""
    ce90_px: list[list[float | None]]
    ce90_ground: list[list[float | None]] | None
    ground_unit: str | None
    extrapolated: list[list[bool]]
    """No tie point holds the map there."""
    extrapolated_share: float
    """Of the overlap."""


class ShownPart(TypedDict):
    """What the pictures of the report show."""

    fixed_window: list[int]
    moving_window: list[int]
    overlap: float | None


class GainPart(TypedDict):
    """Of the held-out score, on the same pairs or views."""

    mean: float
    interval: list[float] | None
    """95 %; None of one view alone."""
    count: int
    over: str
    """What was counted: pairs or views."""


class AdaptedPairsPart(TypedDict):
    labelled: list[str]
    unlabelled: int
    registered: int
    """Unlabelled ones that counted as labelled, by a registration that is trusted."""
    held_out: list[str]


class SkippedPart(TypedDict):
    where: str
    reason: str


class BaseWeightsPart(TypedDict):
    name: str
    path: str
    sha256: str


class AdaptationDocument(TypedDict):
    """What `xmatch adapt` says (xmatch.adapt/1; docs/adaptation.md)."""

    schema: str
    ok: bool
    exit_code: int
    better: bool | None
    """None when it was stopped before it was known."""
    reason: str
    output: str | None
    run: str
    evidence: str
    before: Mapping[str, object]
    """Rows of the validation, as the next; with "step" and "score"."""
    best: Mapping[str, object]
    gain: GainPart | None
    verdicts: dict[str, int] | None
    """Accepted registrations of held-out pairs: "before" and "after", "of" so many."""
    stopped: str
    """"done", or what ended it sooner: "signal", "time", ..."""
    step: int
    steps: int
    minutes: float
    pairs: AdaptedPairsPart
    skipped: list[SkippedPart]
    base: BaseWeightsPart
    recipe: dict[str, Any]
    command: list[str]


class RegistrationDocument(TypedDict):
    schema: str
    ok: bool
    fixed: ImageFacts
    moving: ImageFacts
    output: str | None
    files: list[str]
    verdict: VerdictPart
    correction: Correction | None
    transform: TransformPart | None
    correspondences: CorrespondencesPart
    residuals: ResidualsPart | None
    check_points: NotRequired[CheckPointsPart | None]
    error_map: NotRequired[ErrorMapPart | None]
    shown: ShownPart | None
    seconds: dict[str, float | None]
    notes: list[str]
    provenance: dict[str, Any]
    """Versions, options by the names of the command line, seed and hashes; open to more."""
