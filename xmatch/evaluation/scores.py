"""What one saved prediction is worth, by the kind of its truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xmatch import metrics
from xmatch.correspondences import Correspondences
from xmatch.datasets import LandmarkTruth
from xmatch.evaluation.error_maps import as_error_map, percent_within_cells
from xmatch.evaluation.lens_distortion import undistorted_xy
from xmatch.evaluation.prediction_rows import Changed, ErrorName, KindName, PredictionRow, Sizes
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.result_rows import PairNumbers, PairResult
from xmatch.evaluation.truths import as_landmarks, as_pose, as_tracks, as_transform
from xmatch.geometry import Transform

UNREAD: Sizes = {"fixed_size": [1, 1], "moving_size": [1, 1]}
"""Sizes of images that could not be read; their errors are infinite whatever the size."""

MMA_PX = tuple(range(1, 11))
"""1 to 10 px, as D2-Net plots it (Dusmanu et al. 2019)."""
OVERLAP_PX = (1.0, 3.0, 10.0)
"""Below which shares of the overlap are given."""
COVERED = 0.9
"""Share of the overlap that the expected error `ce90_px` is to hold."""
POSE_DEG = metrics.pose.POSE_THRESHOLDS_DEG


@dataclass(frozen=True)
class Kind:
    """How one kind of truth is judged."""

    error: ErrorName
    """The key of a pair's error: what success and AUC are counted by."""
    unit: str
    score: Callable[[PredictionRow, Correspondences | None, EvalRecipe], PairNumbers]
    """(row, its saved correspondences, recipe) -> numbers; called for related pairs with a truth."""
    title: str
    pools: bool = True
    """Whether pairs of several sets can be judged as one set."""

    def thresholds(self, recipe: EvalRecipe) -> tuple[float, ...]:
        return POSE_DEG if self.unit == "deg" else recipe.thresholds_px


def score(row: PredictionRow, matches: Correspondences | None, recipe: EvalRecipe) -> PairResult:
    """A pair of the results: identity, cost, verdict, and its errors (infinity where it failed)."""
    kind = KINDS[row["kind"]]
    verdict = row.get("verdict") or {"accepted": False, "probability": 0.0}
    judged = row["related"] and row["truth"] is not None
    numbers = kind.score({**UNREAD, **row}, matches, recipe) if judged else _infinite(kind.error)
    changed: Changed = {"factor": row["factor"], "value": row["value"]} if "factor" in row else {}
    return {
        "id": row["id"],
        "set": row["set"],
        "related": row["related"],
        **changed,
        **numbers,
        "accepted": verdict["accepted"],
        "probability": verdict["probability"],
        "seconds": row.get("seconds"),
        "peak_memory_mib": row.get("peak_memory_mib"),
        "failure": row["error"]["code"] if row["error"] else None,
    }


def _infinite(name: ErrorName) -> PairNumbers:
    numbers: PairNumbers = {}
    numbers[name] = math.inf
    return numbers


def _registration(row: PredictionRow, matches: Correspondences | None, recipe: EvalRecipe) -> PairNumbers:
    truth, estimate = as_transform(row["truth"]), _estimate(row)
    if truth is None or (estimate is None and matches is None):
        return {"corner_error_px": math.inf, "grid_error_px": math.inf, "overlap_p90_px": math.inf}
    width, height = row["moving_size"]
    rows = row.get("moving_seen")
    seen = None if rows is None else np.array([[each == "1" for each in line] for line in rows], dtype=bool)
    over = metrics.overlap_errors_px(estimate, truth, (width, height), _size(row["fixed_size"]), seen)
    if "moving_corners" in row:
        corner = metrics.mean_error_px(estimate, truth, np.array(row["moving_corners"]))
    else:
        corner = metrics.quirky_corner_error_px(estimate, truth, width, height, recipe.quirks)
    lattice = metrics.overlap_lattice(width, height)
    numbers: PairNumbers = {
        "corner_error_px": corner,
        "grid_error_px": float(over.mean()) if len(over) else math.nan,
        "overlap_p90_px": float(np.quantile(over, COVERED)) if len(over) else math.nan,
        "overlap_median_px": float(np.median(over)) if len(over) else math.nan,
        "overlap_below_percent": {f"{t:g}": metrics.success_rate(over, t) for t in OVERLAP_PX},
        "ce90_px": (row.get("verdict") or {}).get("ce90_px"),
        "error_map_percent": _error_map_percent(
            row, estimate, truth, lattice.reshape(-1, 2) if seen is None else lattice[seen]
        ),
    }
    if matches is not None:
        errors = metrics.matching_errors_px(matches.fixed_xy, matches.moving_xy, truth)
        numbers["mma"] = metrics.mean_matching_accuracy([errors], MMA_PX)
    return numbers


def _error_map_percent(
    row: PredictionRow, estimate: Transform | None, truth: Transform, xy: np.ndarray
) -> float | None:
    saved = row.get("error_map")
    return None if saved is None or estimate is None else percent_within_cells(as_error_map(saved), estimate, truth, xy)


def _landmarks(row: PredictionRow, matches: Correspondences | None, recipe: EvalRecipe) -> PairNumbers:
    truth = as_landmarks(row["truth"])
    errors = _errors_at(row, truth)
    before = metrics.distances_px(truth.moving_xy, truth.fixed_xy)
    target = metrics.target_errors(errors, _size(row["fixed_size"]))
    stiff_px = metrics.affine_residual_px(truth.moving_xy, truth.fixed_xy)
    return {
        "mean_tre_px": target.mean_px,
        "median_tre_px": target.median_px,
        "median_tre_of_affine": target.median_px / stiff_px if stiff_px else math.nan,
        "median_rtre": target.median_relative,
        "max_rtre": target.max_relative,
        "robustness": metrics.landmark_robustness(errors, before),
        "landmarks": target.n,
        "keypoint_errors_px": errors,
        "image_px": metrics.image_scale_px(*row["fixed_size"]),
    }


def _semantic(row: PredictionRow, matches: Correspondences | None, recipe: EvalRecipe) -> PairNumbers:
    truth = as_landmarks(row["truth"])
    errors = _errors_at(row, truth)
    return {
        "mean_error_px": float(errors.mean()) if len(errors) else math.nan,
        "keypoint_errors_px": errors,
        "box_px": metrics.box_scale_px(truth.fixed_box) if truth.fixed_box else None,
        "image_px": metrics.image_scale_px(*row["fixed_size"]),
    }


def _pose(row: PredictionRow, matches: Correspondences | None, recipe: EvalRecipe) -> PairNumbers:
    truth = as_pose(row["truth"])
    cameras = truth.fixed_intrinsics, truth.moving_intrinsics
    if matches is None or row["error"]:
        return {"pose_error_deg": math.inf, "epipolar_precision": 0.0}
    fixed_xy = undistorted_xy(matches.fixed_xy, truth.fixed_intrinsics, truth.fixed_distortion)
    moving_xy = undistorted_xy(matches.moving_xy, truth.moving_intrinsics, truth.moving_distortion)
    found = metrics.estimate_relative_pose(
        fixed_xy,
        moving_xy,
        *cameras,
        threshold_px=recipe.pose_threshold_px,
        focal_px=metrics.superglue_mean_focal_px(*cameras) if "superglue-focal-mean" in recipe.quirks else None,
        estimator=recipe.pose_estimator,
    )
    epipolar = metrics.epipolar_errors(fixed_xy, moving_xy, *cameras, truth.rotation, truth.translation)
    return {
        "pose_error_deg": metrics.relative_pose_error_deg(found, truth.rotation, truth.translation),
        "epipolar_precision": metrics.epipolar_precision(epipolar),
    }


def _tracking(row: PredictionRow, matches: Correspondences | None, recipe: EvalRecipe) -> PairNumbers:
    """Positions in TAP-Vid's frames of 256 px; of a map, a point is called visible where it lands inside the later
    frame."""
    truth, estimate, points = as_tracks(row["truth"]), _estimate(row), row.get("points")
    size = np.array(row["moving_size"])
    found = np.full(truth.fixed_xy.shape, np.nan) if estimate is None else estimate.inverse(truth.fixed_xy)
    if points is not None:
        found = np.array(points["xy"], dtype=np.float64).reshape(-1, 2)
    visible = np.asarray(((found >= 0) & (found <= size)).all(axis=1))
    if points is not None and points["visible"] is not None:
        visible = np.array(points["visible"], dtype=bool)
    true, predicted = (metrics.to_tap_vid_xy(xy, *row["moving_size"]) for xy in (truth.moving_xy, found))
    errors = metrics.distances_px(predicted, true)[truth.visible]
    return {
        "mean_error_px": float(errors.mean()) if len(errors) else math.nan,
        "predicted_xy": predicted,
        "predicted_visible": visible,
        "true_xy": true,
        "true_visible": truth.visible,
    }


def _errors_at(row: PredictionRow, truth: LandmarkTruth) -> np.ndarray:
    """(N,) px of fixed, at points that were sought one by one, or by the map."""
    points = row.get("points")
    if points is None:
        return np.asarray(metrics.landmark_errors_px(_estimate(row), truth.moving_xy, truth.fixed_xy))
    found = np.array(points["xy"], dtype=np.float64).reshape(-1, 2)
    return np.asarray(metrics.distances_px(found, truth.fixed_xy))


def _estimate(row: PredictionRow) -> Transform | None:
    found = row.get("transform")
    return None if found is None else as_transform(found)


def _size(sides: list[int]) -> tuple[int, int]:
    width, height = sides
    return width, height


KINDS: dict[KindName, Kind] = {
    "registration": Kind("corner_error_px", "px", _registration, "corner error of moving mapped onto fixed"),
    "bend": Kind("overlap_p90_px", "px", _registration, "90th percentile of the error over the overlap"),
    "landmarks": Kind("mean_tre_px", "px", _landmarks, "mean target registration error of a pair's landmarks"),
    "semantic": Kind("mean_error_px", "px", _semantic, "mean error of a pair's keypoints"),
    "pose": Kind("pose_error_deg", "deg", _pose, "the larger of the angles that rotation and translation are off"),
    "tracking": Kind(
        "mean_error_px", "px", _tracking, "mean error of the visible points, px of 256 x 256 frames", False
    ),
}
"""Kind of truth -> how it is judged."""
