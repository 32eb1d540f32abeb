"""From saved predictions to results: metrics per set, how verdicts did, and the certificate. Runs no matcher."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from xmatch import metrics
from xmatch.evaluation.plan import EvalRecipe
from xmatch.evaluation.predict import read_predictions
from xmatch.transforms import homography, transform_from_dict

SCHEMA = "xmatch.evaluation/1"


def summarise(path: str | os.PathLike, recipe: EvalRecipe) -> dict[str, Any]:
    """The results document of the predictions in `path`, JSON-ready; `recipe` says how they are judged.

    Shares and AUC are in percent, each with a 95 % interval: bootstrap over the pairs of each set for AUC and
    their mean over sets, Wilson's for shares. `mean` weighs sets equally.
    """
    head, runs, rows = read_predictions(path)
    rows = sorted(rows, key=lambda row: row["id"])
    pairs = [_pair(row) for row in rows]
    related = [pair for pair in pairs if pair["related"]]
    by_set = {name: [p for p in related if p["set"] == name] for name in dict.fromkeys(p["set"] for p in related)}
    failures = [{"id": row["id"], **row["error"]} for row in rows if row["error"]]
    document = {
        "schema": SCHEMA,
        "ok": not failures,
        "recipe": recipe.as_dict(),
        "n": {"related": len(related), "unrelated": len(pairs) - len(related), "failed": len(failures)},
        "sets": {name: _set_metrics([members], recipe) for name, members in by_set.items()},
        "mean": _set_metrics(list(by_set.values()), recipe) if by_set else None,
        "verdict": _verdict_metrics(pairs, recipe),
        "failures": failures,
        "pairs": pairs,
        "certificate": {
            "recipe_sha256": head["recipe_sha256"],
            "data_sha256": head["data_sha256"],
            "seed": recipe.register.seed,
            "runs": runs,
            # Rows by different versions of the code do not add up to one number.
            "mixed_code": len({run.get("code_sha256") for run in runs}) > 1,
        },
    }
    return _finite(document)


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    """What one prediction is worth."""
    corner = grid = math.inf
    if row["truth"] is not None and row.get("transform") is not None:
        estimate, truth = transform_from_dict(row["transform"]), homography(np.array(row["truth"]))
        corner = metrics.corner_error_px(estimate, truth, *row["moving_size"])
        grid = metrics.grid_error_px(estimate, truth, row["moving_size"], row["fixed_size"])
    verdict = row.get("verdict") or {"accepted": False, "probability": 0.0}
    return {
        "id": row["id"],
        "set": row["set"],
        "related": row["related"],
        "corner_error_px": corner,
        "grid_error_px": grid,
        "accepted": verdict["accepted"],
        "probability": verdict["probability"],
        "seconds": row.get("seconds"),
        "peak_memory_mib": row.get("peak_memory_mib"),
        "failure": row["error"] and row["error"]["code"],
    }


def _set_metrics(sets: Sequence[list[dict]], recipe: EvalRecipe) -> dict[str, Any]:
    """Metrics of one set, or the mean over several."""
    thresholds = recipe.thresholds_px
    corner, grid = (
        [np.array([pair[key] for pair in pairs]) for pairs in sets] for key in ("corner_error_px", "grid_error_px")
    )
    # Pairs without overlap have no grid error.
    grid = [errors[~np.isnan(errors)] for errors in grid]

    def mean_auc(groups: Sequence[np.ndarray]) -> np.ndarray:
        return np.mean([metrics.auc(errors, thresholds) for errors in groups], axis=0)

    low, high = metrics.bootstrap_interval(corner, mean_auc, seed=recipe.seed)
    everything = np.concatenate(corner)
    pairs = [pair for members in sets for pair in members]
    seconds = [pair["seconds"] for pair in pairs if pair["seconds"] is not None]
    memory = [pair["peak_memory_mib"] for pair in pairs if pair["peak_memory_mib"] is not None]
    return {
        "n": len(everything),
        "failed": sum(pair["failure"] is not None for pair in pairs),
        "auc": {
            f"{t:g}": {"value": v, "interval": [a, b]}
            for t, v, a, b in zip(thresholds, mean_auc(corner), low, high, strict=True)
        },
        "grid_auc": {f"{t:g}": v for t, v in zip(thresholds, mean_auc(grid), strict=True)},
        "success": {
            f"{t:g}": {
                "value": float(np.mean([metrics.success_rate(errors, t) for errors in corner])),
                "interval": list(metrics.wilson_interval(int((everything < t).sum()), len(everything))),
            }
            for t in thresholds
        },
        "median_error_px": float(np.median(everything)),
        "seconds_per_pair": float(np.mean(seconds)) if seconds else None,
        "seconds_p95": float(np.percentile(seconds, 95)) if seconds else None,
        "peak_memory_mib": max(memory, default=None),
    }


def _verdict_metrics(pairs: list[dict], recipe: EvalRecipe) -> dict[str, Any]:
    """Whether verdicts can be believed: right ones accepted, wrong and unrelated ones not."""
    error = np.array([pair["corner_error_px"] for pair in pairs])
    related = np.array([pair["related"] for pair in pairs], dtype=bool)
    accepted = np.array([pair["accepted"] for pair in pairs], dtype=bool)
    probability = np.array([pair["probability"] for pair in pairs], dtype=float)
    right = related & (error < recipe.right_px)
    wrong = ~related | (error > recipe.wrong_px)
    rates = metrics.accept_rates(accepted, right, wrong)
    curve = metrics.roc(probability[right], probability[wrong])
    calibration = metrics.reliability(probability, right)

    return {
        **{name: share._asdict() for name, share in rates._asdict().items()},
        "wrong_related_accepted": metrics.share(accepted, wrong & related)._asdict(),
        "unrelated_accepted": metrics.share(accepted, ~related)._asdict(),
        "roc": curve
        and {
            "area": curve.area,
            "right_accepted_at_1_percent_wrong": curve.right_accepted_at(1.0),
            "threshold": curve.threshold.tolist(),
            "wrong_accepted": curve.wrong_accepted.tolist(),
            "right_accepted": curve.right_accepted.tolist(),
        },
        "reliability": {
            "expected_calibration_error": calibration.expected_calibration_error,
            "predicted": calibration.predicted.tolist(),
            "observed": calibration.observed.tolist(),
            "count": calibration.count.tolist(),
        },
    }


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: both become null (an error of null px is a failure)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
