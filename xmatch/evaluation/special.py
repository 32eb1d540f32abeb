"""Numbers that only one kind of truth has, over the pairs of a set or their mean over sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xmatch import metrics
from xmatch.evaluation.dense import dense_summary
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.scores import MMA_PX

ALPHAS = (0.01, 0.05, 0.1, 0.15)

Sets = Sequence[list[dict]]
"""Pairs of each set, as `scores.score` gave them."""


def special(kind: str, sets: Sets, recipe: EvalRecipe) -> dict[str, Any]:
    """Name -> numbers; sets weigh equally."""
    return SPECIAL[kind](sets, recipe)


def _registration(sets: Sets, recipe: EvalRecipe) -> dict[str, Any]:
    grid = [np.array([pair.get("grid_error_px", np.inf) for pair in pairs]) for pairs in sets]
    # Pairs without overlap have no grid error.
    areas = np.mean([metrics.auc(errors[~np.isnan(errors)], recipe.thresholds_px) for errors in grid], axis=0)
    found: dict[str, Any] = {"grid_auc": {f"{t:g}": a for t, a in zip(recipe.thresholds_px, areas, strict=True)}}
    if any("mma" in pair for pairs in sets for pair in pairs):
        # A pair without correspondences counts as 0, as in the protocol.
        nothing = np.zeros(len(MMA_PX))
        mean = np.mean([np.mean([pair.get("mma", nothing) for pair in pairs], axis=0) for pairs in sets], axis=0)
        found["mma"] = {f"{t:g}": value for t, value in zip(MMA_PX, mean, strict=True)}
    return {**found, **dense_summary(sets)}


def _landmarks(sets: Sets, recipe: EvalRecipe) -> dict[str, Any]:
    """ANHIR's: average and median, over pairs, of the median and the largest relative error of each; and PCK."""
    found = {}
    for name in ("median_rtre", "max_rtre"):
        values = [np.array([pair.get(name, np.inf) for pair in pairs]) for pairs in sets]
        found |= {f"mean_{name}": np.mean([v.mean() for v in values])}
        found |= {f"median_{name}": np.mean([np.median(v) for v in values])}
    shares = [np.mean([pair.get("robustness", 0.0) for pair in pairs]) for pairs in sets]
    return {**found, "robustness": np.mean(shares), **_pck(sets, ("image",))}


def _semantic(sets: Sets, recipe: EvalRecipe) -> dict[str, Any]:
    return _pck(sets, ("box", "image"))


def _pck(sets: Sets, scales: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for name in scales:
        each = [[p for p in pairs if p.get(f"{name}_px") and len(p["keypoint_errors_px"])] for pairs in sets]
        if not all(each):
            continue
        results = [metrics.pck([p["keypoint_errors_px"] / p[f"{name}_px"] for p in pairs], ALPHAS) for pairs in each]
        for way in ("per_image", "per_point"):
            mean = np.mean([getattr(result, way) for result in results], axis=0)
            found[f"pck_{name}_{way}"] = {f"{a:g}": value for a, value in zip(ALPHAS, mean, strict=True)}
    return found


def _pose(sets: Sets, recipe: EvalRecipe) -> dict[str, Any]:
    shares = [np.mean([pair.get("epipolar_precision", 0.0) for pair in pairs]) for pairs in sets]
    return {"epipolar_precision": np.mean(shares)}


def _tracking(sets: Sets, recipe: EvalRecipe) -> dict[str, Any]:
    """TAP-Vid's numbers of each set, which is a video."""
    results = [result for pairs in sets if (result := _video(pairs)) is not None]
    if not results:
        return {}
    names = ("average_jaccard", "average_position_accuracy", "occlusion_accuracy")
    return {name: np.mean([getattr(result, name) for result in results]) for name in names}


def _video(pairs: list[dict]) -> metrics.TapVid | None:
    """Frames one after the other; in one that failed nothing is found and nothing called visible."""
    points = next((pair["true_xy"] for pair in pairs if "true_xy" in pair), None)
    if points is None:
        return None
    judged = [pair for pair in pairs if "true_xy" in pair]
    # The first frame is where the points are given: nothing is judged there.
    first = np.zeros((len(points), 1, 2))
    xy, true = (
        np.concatenate([first, np.stack([pair[name] for pair in judged], axis=1)], axis=1)
        for name in ("predicted_xy", "true_xy")
    )
    seen, truly = (
        np.column_stack([np.ones(len(points), bool), *(pair[name] for pair in judged)])
        for name in ("predicted_visible", "true_visible")
    )
    return metrics.tap_vid(xy, seen, true, truly)


SPECIAL = {
    "registration": _registration,
    "landmarks": _landmarks,
    "semantic": _semantic,
    "pose": _pose,
    "tracking": _tracking,
}
PRIVATE = ("predicted_xy", "predicted_visible", "true_xy", "true_visible")
"""What pairs carry for these numbers alone."""
