"""Numbers that only one kind of truth has, over the pairs of a set or their mean over sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from xmatch import metrics
from xmatch.evaluation.dense import dense_summary
from xmatch.evaluation.prediction_rows import ErrorName, KindName
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.result_rows import KindNumbers, PairResult, WithInterval
from xmatch.evaluation.scores import MMA_PX, OVERLAP_PX

ALPHAS = (0.01, 0.05, 0.1, 0.15)
"""Of PCK: those that papers of semantic matching print, and 0.01 for landmarks."""

Sets = Sequence[list[PairResult]]
"""Pairs of each set, as `scores.score` gave them."""


def kind_metrics(kind: KindName, sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    """Name -> numbers; sets weigh equally."""
    return KIND_METRICS[kind](sets, recipe)


def _registration(sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    return _of_maps(sets, recipe, "corner_error_px")


def _bend(sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    return _of_maps(sets, recipe, "overlap_p90_px")


def _of_maps(sets: Sets, recipe: EvalRecipe, error: ErrorName) -> KindNumbers:
    grid = [np.array([pair.get("grid_error_px", np.inf) for pair in pairs]) for pairs in sets]
    # Pairs without overlap have no grid error.
    areas = np.mean([metrics.auc(errors[~np.isnan(errors)], recipe.thresholds_px) for errors in grid], axis=0)
    found: KindNumbers = {"grid_auc": {f"{t:g}": a for t, a in zip(recipe.thresholds_px, areas, strict=True)}}
    found |= _overlap(sets) | _verdicts(sets, recipe, error) | _error_maps(sets)
    if any("mma" in pair for pairs in sets for pair in pairs):
        # A pair without correspondences counts as 0, as in the protocol.
        nothing = np.zeros(len(MMA_PX))
        mean = np.mean([np.mean([pair.get("mma", nothing) for pair in pairs], axis=0) for pairs in sets], axis=0)
        found["mma"] = {f"{t:g}": value for t, value in zip(MMA_PX, mean, strict=True)}
    return {**found, **dense_summary(sets)}


def _overlap(sets: Sets) -> KindNumbers:
    """Of the errors over the overlap; without an answer they are infinite, and without an overlap there are none."""

    def each(get: Callable[[PairResult], float]) -> list[np.ndarray]:
        values = (np.array([get(pair) for pair in pairs], dtype=float) for pairs in sets)
        return [known for value in values if len(known := value[~np.isnan(value)])]

    def median(key: Literal["overlap_median_px", "overlap_p90_px"]) -> float:
        found = each(lambda pair: pair.get(key, np.inf))
        return float(np.mean([np.median(values) for values in found])) if found else np.nan

    def below(key: str) -> float:
        found = each(lambda pair: pair.get("overlap_below_percent", {}).get(key, 0.0))
        return float(np.mean([values.mean() for values in found])) if found else np.nan

    return {
        "overlap_median_px": median("overlap_median_px"),
        "overlap_p90_px": median("overlap_p90_px"),
        "overlap_below_percent": {key: below(key) for key in (f"{t:g}" for t in OVERLAP_PX)},
    }


def _error_maps(sets: Sets) -> KindNumbers:
    """Mean over the sets whose pairs have such maps."""
    each = ([share for pair in pairs if (share := pair.get("error_map_percent")) is not None] for pairs in sets)
    means = [float(np.mean(shares)) for shares in each if shares]
    return {"error_map_percent": float(np.mean(means))} if means else {}


def _verdicts(sets: Sets, recipe: EvalRecipe, error: ErrorName) -> KindNumbers:
    """What is said of right and wrong pairs, each mean over the sets that have such pairs; empty where none answers."""

    def held(pair: PairResult) -> bool:
        return pair["overlap_p90_px"] <= (pair["ce90_px"] or 0.0)

    def accepted(pair: PairResult) -> bool:
        return pair["accepted"]

    asked: dict[str, tuple[Callable[[PairResult], bool], Callable[[PairResult], bool]]] = {
        "right_accepted": (lambda pair: pair[error] < recipe.right_px, accepted),
        "wrong_accepted": (lambda pair: pair[error] > recipe.wrong_px, accepted),
        "ce90_holds": (lambda pair: pair["accepted"] and pair.get("ce90_px") is not None, held),
    }
    found: dict[str, WithInterval] = {}
    for name, (counts, good) in asked.items():
        answers = [[good(pair) for pair in pairs if counts(pair)] for pairs in sets]
        answers = [each for each in answers if each]
        if answers:
            pooled = [one for each in answers for one in each]
            low, high = metrics.wilson_interval(sum(pooled), len(pooled))
            value = float(np.mean([100 * np.mean(each) for each in answers]))
            found[name] = {"value": value, "interval": [low, high]}
    return {"verdicts": found} if found else {}


def _landmarks(sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    """ANHIR's: average and median, over pairs, of the median and the largest relative error of each; the median error
    beside what the best affine map leaves; and PCK."""
    medians = [np.array([pair.get("median_rtre", np.inf) for pair in pairs]) for pairs in sets]
    greatest = [np.array([pair.get("max_rtre", np.inf) for pair in pairs]) for pairs in sets]
    shares = [np.mean([pair.get("robustness", 0.0) for pair in pairs]) for pairs in sets]
    return {
        "median_tre_px": _median_over(sets, "median_tre_px"),
        "median_tre_of_affine_percent": 100 * _median_over(sets, "median_tre_of_affine"),
        "mean_median_rtre": float(np.mean([values.mean() for values in medians])),
        "median_median_rtre": float(np.mean([np.median(values) for values in medians])),
        "mean_max_rtre": float(np.mean([values.mean() for values in greatest])),
        "median_max_rtre": float(np.mean([np.median(values) for values in greatest])),
        "robustness": float(np.mean(shares)),
        **_pck(sets, ("image",)),
    }


def _median_over(sets: Sets, key: Literal["median_tre_px", "median_tre_of_affine"]) -> float:
    """Mean over sets of the median of their pairs; a pair that failed counts as infinite, one without a number not."""
    each = [np.array([pair.get(key, np.inf) for pair in pairs]) for pairs in sets]
    known = [found for values in each if len(found := values[~np.isnan(values)])]
    return float(np.mean([np.median(values) for values in known])) if known else np.nan


def _semantic(sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    return _pck(sets, ("box", "image"))


Scale = Literal["box", "image"]
"""What the errors of keypoints are divided by: the larger side of the object's box, or of the image."""


def _pck(sets: Sets, scales: tuple[Scale, ...]) -> KindNumbers:
    found: KindNumbers = {}
    for scale in scales:
        each = [[errors for pair in pairs if (errors := _relative(pair, scale)) is not None] for pairs in sets]
        if not all(each):
            continue
        results = [metrics.pck(errors, ALPHAS) for errors in each]
        per_image, per_point = (_by_alpha([getattr(r, way) for r in results]) for way in ("per_image", "per_point"))
        if scale == "box":
            found |= {"pck_box_per_image": per_image, "pck_box_per_point": per_point}
        else:
            found |= {"pck_image_per_image": per_image, "pck_image_per_point": per_point}
    return found


def _relative(pair: PairResult, scale: Scale) -> np.ndarray | None:
    """(N,) errors of a pair's keypoints in sides of the box or the image; None where there is nothing to divide."""
    side_px = pair.get("box_px") if scale == "box" else pair.get("image_px")
    return pair["keypoint_errors_px"] / side_px if side_px and len(pair["keypoint_errors_px"]) else None


def _by_alpha(shares: list[np.ndarray]) -> dict[str, float]:
    return {f"{a:g}": value for a, value in zip(ALPHAS, np.mean(shares, axis=0), strict=True)}


def _pose(sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    shares = [np.mean([pair.get("epipolar_precision", 0.0) for pair in pairs]) for pairs in sets]
    return {"epipolar_precision": float(np.mean(shares))}


def _tracking(sets: Sets, recipe: EvalRecipe) -> KindNumbers:
    """TAP-Vid's numbers of each set, which is a video."""
    results = [result for pairs in sets if (result := _video(pairs)) is not None]
    if not results:
        return {}
    return {
        "average_jaccard": float(np.mean([result.average_jaccard for result in results])),
        "average_position_accuracy": float(np.mean([result.average_position_accuracy for result in results])),
        "occlusion_accuracy": float(np.mean([result.occlusion_accuracy for result in results])),
    }


def _video(pairs: list[PairResult]) -> metrics.TapVid | None:
    """Frames one after the other; in one that failed nothing is found and nothing called visible."""
    points = next((pair["true_xy"] for pair in pairs if "true_xy" in pair), None)
    if points is None:
        return None
    judged = [pair for pair in pairs if "true_xy" in pair]
    # The first frame is where the points are given: nothing is judged there.
    first = np.zeros((len(points), 1, 2))
    at_first = np.ones(len(points), bool)
    xy = np.concatenate([first, np.stack([pair["predicted_xy"] for pair in judged], axis=1)], axis=1)
    true = np.concatenate([first, np.stack([pair["true_xy"] for pair in judged], axis=1)], axis=1)
    seen = np.column_stack([at_first, *(pair["predicted_visible"] for pair in judged)])
    truly = np.column_stack([at_first, *(pair["true_visible"] for pair in judged)])
    return metrics.tap_vid(xy, seen, true, truly)


KIND_METRICS: dict[KindName, Callable[[Sets, EvalRecipe], KindNumbers]] = {
    "registration": _registration,
    "bend": _bend,
    "landmarks": _landmarks,
    "semantic": _semantic,
    "pose": _pose,
    "tracking": _tracking,
}
