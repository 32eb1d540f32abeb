"""From a method's saved predictions to its results: metrics per set, and how verdicts did. Runs no matcher."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xmatch import metrics
from xmatch.evaluation.dense import dense_folder, dense_numbers
from xmatch.evaluation.kind_metrics import kind_metrics
from xmatch.evaluation.matches import load_matches, matches_folder
from xmatch.evaluation.predict import read_predictions
from xmatch.evaluation.prediction_rows import KindName, MethodKind
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.result_rows import (
    IN_MEMORY,
    CountedShare,
    IdentifiedProblem,
    MedianError,
    MethodSummary,
    PairResult,
    SetNumbers,
    VerdictNumbers,
    WithInterval,
)
from xmatch.evaluation.scores import KINDS, Kind, score
from xmatch.io.json_values import json_ready


def summarise(
    path: str | os.PathLike[str], recipe: EvalRecipe, kind_of_method: MethodKind = "matcher"
) -> MethodSummary:
    """The results of the predictions in `path`, JSON-ready; `recipe` says how they are judged.

    Shares and AUC are in percent, each with a 95 % interval: bootstrap over the pairs of each set for AUC and
    their mean over sets, Wilson's for shares. `mean` weighs sets equally, `all` pairs.
    """
    head, runs, rows = read_predictions(path)
    rows = sorted(rows, key=lambda row: (row.get("factor", ""), row.get("value", 0.0), row["id"]))
    folder, dense = matches_folder(Path(path)), dense_folder(Path(path))
    pairs: list[PairResult] = [
        {
            **score(row, load_matches(folder, row["id"]), recipe),
            **dense_numbers(row, load_matches(dense, row["id"])),
        }
        for row in rows
    ]
    name: KindName = rows[0]["kind"] if rows else "registration"
    related = [pair for pair in pairs if pair["related"]]
    by_set = {part: [p for p in related if p["set"] == part] for part in dict.fromkeys(p["set"] for p in related)}
    failures: list[IdentifiedProblem] = [{"id": row["id"], **row["error"]} for row in rows if row["error"]]
    document = {
        "kind_of_method": kind_of_method,
        "ok": not failures,
        "kind": name,
        "n": {"related": len(related), "unrelated": len(pairs) - len(related), "failed": len(failures)},
        "sets": {set_name: _set_metrics([members], name, recipe) for set_name, members in by_set.items()},
        "mean": _set_metrics(list(by_set.values()), name, recipe) if by_set else None,
        "all": _set_metrics([related], name, recipe) if len(by_set) > 1 and KINDS[name].pools else None,
        "verdict": _verdict_metrics(pairs, KINDS[name], recipe),
        "failures": failures,
        "pairs": [{key: value for key, value in pair.items() if key not in IN_MEMORY} for pair in pairs],
        "certificate": {
            "recipe_sha256": head["recipe_sha256"],
            "data_sha256": head["data_sha256"],
            "weights_sha256": head.get("weights_sha256"),
            "seed": recipe.register.seed,
            "runs": runs,
            # Rows by different versions of the code do not add up to one number.
            "mixed_code": len({run.get("code_sha256") for run in runs}) > 1,
        },
    }
    return json_ready(document)


def _set_metrics(sets: Sequence[list[PairResult]], name: KindName, recipe: EvalRecipe) -> SetNumbers:
    """Metrics of one set, or the mean over several."""
    kind = KINDS[name]
    thresholds = kind.thresholds(recipe)
    # Without landmarks or visible points nothing can be judged.
    errors = [np.array([pair[kind.error] for pair in pairs]) for pairs in sets]
    errors = [judged for known in errors if len(judged := known[~np.isnan(known)])] or [np.full(1, np.inf)]

    def mean_auc(groups: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(np.mean([metrics.auc(each, thresholds) for each in groups], axis=0))

    low, high = metrics.bootstrap_interval(errors, mean_auc, at_once=True, seed=recipe.seed)
    everything = np.concatenate(errors)
    pairs = [pair for members in sets for pair in members]
    seconds = [pair["seconds"] for pair in pairs if pair["seconds"] is not None]
    memory = [pair["peak_memory_mib"] for pair in pairs if pair["peak_memory_mib"] is not None]
    areas: dict[str, WithInterval] = {
        f"{t:g}": {"value": v, "interval": [a, b]}
        for t, v, a, b in zip(thresholds, mean_auc(errors), low, high, strict=True)
    }
    success: dict[str, WithInterval] = {
        f"{t:g}": {
            "value": float(np.mean([metrics.success_rate(each, t) for each in errors])),
            "interval": list(metrics.wilson_interval(int((everything < t).sum()), len(everything))),
        }
        for t in thresholds
    }
    median = float(np.median(everything))
    return {
        "n": len(everything),
        "failed": sum(pair["failure"] is not None for pair in pairs),
        "auc": areas,
        **kind_metrics(name, sets, recipe),
        "success": success,
        **_median(median, kind.unit),
        "seconds_per_pair": float(np.mean(seconds)) if seconds else None,
        "seconds_p95": float(np.percentile(seconds, 95)) if seconds else None,
        "peak_memory_mib": max(memory, default=None),
    }


def _median(error: float, unit: str) -> MedianError:
    return {"median_error_deg": error} if unit == "deg" else {"median_error_px": error}


def _verdict_metrics(pairs: list[PairResult], kind: Kind, recipe: EvalRecipe) -> VerdictNumbers:
    """Whether verdicts can be believed: right ones accepted, wrong and unrelated ones not.

    A method that does not say how sure it is has rates only.
    """
    error = np.array([pair[kind.error] for pair in pairs], dtype=float)
    related = np.array([pair["related"] for pair in pairs], dtype=bool)
    accepted = np.array([pair["accepted"] for pair in pairs], dtype=bool)
    probability = np.array([pair["probability"] for pair in pairs], dtype=float)
    right = related & (error < recipe.right_px)
    wrong = ~related | (error > recipe.wrong_px)
    rates = metrics.accept_rates(accepted, right, wrong)
    sure = len(pairs) > 0 and not np.isnan(probability).any()
    curve = metrics.roc(probability[right], probability[wrong]) if sure else None
    calibration = metrics.reliability(probability, right) if sure else None
    selective = metrics.risk_coverage(probability, ~right) if sure else None
    return {
        "right_accepted": _counted(rates.right_accepted),
        "wrong_accepted": _counted(rates.wrong_accepted),
        "accepted_wrong": _counted(rates.accepted_wrong),
        "wrong_related_accepted": _counted(metrics.share(accepted, wrong & related)),
        "unrelated_accepted": _counted(metrics.share(accepted, ~related)),
        "roc": None
        if curve is None
        else {
            "area": curve.area,
            "right_accepted_at_1_percent_wrong": curve.right_accepted_at(1.0),
            "threshold": curve.threshold.tolist(),
            "wrong_accepted": curve.wrong_accepted.tolist(),
            "right_accepted": curve.right_accepted.tolist(),
        },
        "reliability": None
        if calibration is None
        else {
            "expected_calibration_error": calibration.expected_calibration_error,
            "predicted": calibration.predicted.tolist(),
            "observed": calibration.observed.tolist(),
            "count": calibration.count.tolist(),
        },
        "risk_coverage": None
        if selective is None
        else {"area": selective.area, "coverage": selective.coverage.tolist(), "risk": selective.risk.tolist()},
    }


def _counted(share: metrics.Share) -> CountedShare:
    return {"value": share.value, "count": share.count, "n": share.n, "interval": list(share.interval)}
