"""Fit the verdict on predictions that `xmatch eval` saved, and write xmatch/verdict.json.

    xmatch eval recipes/eval-srif-crop-train.yaml --data DIR -o train.json
    python benchmarks/fit_verdict.py train.predictions.jsonl

Logistic regression with an L2 penalty chosen by cross-validation; alignments between the right and the wrong bound
are left out of the fit. At the threshold, in cross-validation, no more than half a percent of wrong ones pass.
Only training splits belong here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from xmatch import verdict
from xmatch.metrics import corner_error_px
from xmatch.transforms import Linear

RIGHT_PX, WRONG_PX = 5.0, 10.0
PENALTIES = (0.003, 0.01, 0.03, 0.1)
FOLDS = 10
WRONG_SHARE, RIGHT_SHARE = 0.005, 0.95
FALLING = ("chance_log10", "forward_backward_px", "halves_px", "scale_change", "sharpening_px")
"""Measures that speak against an alignment when they grow. Weights keep their sign: where measures repeat each other,
a free fit would let one count backwards, which holds on no other sensor."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path(verdict.__file__).with_name("verdict.json"))
    parser.add_argument("--exclude", help="ids of pairs whose truth a look at them proved wrong, comma-separated")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.predictions.read_text().splitlines()]
    excluded = args.exclude.split(",") if args.exclude else []
    head, pairs = rows[0], [row for row in rows if "id" in row and row.get("verdict", {}).get("evidence")]
    pairs = [row for row in pairs if row["id"] not in excluded]
    names = sorted(verdict.LIMITS)
    values = np.array([[np.clip(row["verdict"]["evidence"][n], *verdict.LIMITS[n]) for n in names] for row in pairs])
    errors = np.array([error(row) for row in pairs])
    decided = (errors < RIGHT_PX) | (errors > WRONG_PX)
    x, y, groups = values[decided], errors[decided] < RIGHT_PX, group_numbers(pairs)[decided]
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = (x - mean) / spread
    losses = {penalty: log_loss(y, crossed(z, y, groups, penalty)) for penalty in PENALTIES}
    penalty = min(losses, key=losses.get)
    scores = crossed(z, y, groups, penalty)
    lowest, wanted = np.quantile(scores[~y], 1 - WRONG_SHARE), np.quantile(scores[y], 1 - RIGHT_SHARE)
    # Where the classes part, the middle of the gap is as far from either as can be had.
    threshold = float(1 / (1 + np.exp(-(lowest if wanted < lowest else (lowest + wanted) / 2))))
    threshold = max(0.5, threshold)
    weights = fit(z, y, penalty)
    floor, slope = spread_of_errors(values, errors, names, threshold, (weights, mean, spread))
    accepted = scores > np.log(threshold / (1 - threshold))
    document = {
        "intercept": round(weights[0], 4),
        "weights": dict(zip(names, np.round(weights[1:], 4).tolist(), strict=True)),
        "mean": dict(zip(names, np.round(mean, 5).tolist(), strict=True)),
        "spread": dict(zip(names, np.round(spread, 5).tolist(), strict=True)),
        "threshold": round(threshold, 3),
        "ce90_floor_px": round(floor, 2),
        "ce90_per_halves_px": round(slope, 3),
        "certificate": {
            "recipe": head["recipe"]["manifest"],
            "data_sha256": head["data_sha256"],
            "predictions_sha256": hashlib.sha256(args.predictions.read_bytes()).hexdigest(),
            "excluded": excluded,
            "n": len(pairs),
            "right": int(y.sum()),
            "wrong": int((~y).sum()),
            "penalty": penalty,
            "crossvalidated": {
                "log_loss": round(losses[penalty], 4),
                "wrong_accepted_percent": round(100 * float(accepted[~y].mean()), 2),
                "right_accepted_percent": round(100 * float(accepted[y].mean()), 2),
            },
        },
    }
    args.output.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document["certificate"], indent=1))


def error(row: dict) -> float:
    """Corner error in px; infinite for unrelated images and where there is no transform."""
    if not row["related"] or row["transform"] is None or row["transform"].get("matrix") is None:
        return np.inf
    found, truth = np.array(row["transform"]["matrix"]), np.array(row["truth"])
    return corner_error_px(Linear(found), Linear(truth), *row["moving_size"])


def group_numbers(pairs: list[dict]) -> np.ndarray:
    """The same fixed image keeps to one fold."""
    keys = [row["id"].split(" x ")[0] for row in pairs]
    order = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys])


def fit(z: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """(1 + K,) intercept and weights; both classes count alike in sum."""
    sign = np.where(y, 1.0, -1.0)
    share = np.where(y, 0.5 / y.mean(), 0.5 / (~y).mean())
    design = np.column_stack([np.ones(len(z)), z])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (design @ w)
        pull = -sign * share / (1 + np.exp(margin))
        ridge = penalty * np.r_[0.0, w[1:]]
        return float((share * np.logaddexp(0, -margin)).mean() + 0.5 * ridge @ w), design.T @ pull / len(z) + ridge

    names = sorted(verdict.LIMITS)
    bounds = [(None, None)] + [(None, 0.0) if name in FALLING else (0.0, None) for name in names]
    return minimize(loss, np.zeros(design.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x


def crossed(z: np.ndarray, y: np.ndarray, groups: np.ndarray, penalty: float) -> np.ndarray:
    """Log-odds of each row by a fit that did not see it."""
    fold = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % FOLDS
    scores = np.zeros(len(z))
    for part in range(FOLDS):
        w = fit(z[fold != part], y[fold != part], penalty)
        scores[fold == part] = w[0] + z[fold == part] @ w[1:]
    return scores


def log_loss(y: np.ndarray, scores: np.ndarray) -> float:
    return float(np.logaddexp(0, -np.where(y, scores, -scores)).mean())


def spread_of_errors(values, errors, names, threshold, model) -> tuple[float, float]:
    """(floor, slope) of the 90th percentile of accepted alignments' errors against the disagreement of halves."""
    weights, mean, spread = model
    scores = weights[0] + ((values - mean) / spread) @ weights[1:]
    kept = (scores > np.log(threshold / (1 - threshold))) & np.isfinite(errors)
    halves, error_px = values[kept, names.index("halves_px")], np.minimum(errors[kept], 30.0)

    def pinball(p: np.ndarray) -> float:
        miss = error_px - (p[0] + p[1] * halves)
        return float(np.maximum(0.9 * miss, -0.1 * miss).mean())

    found = minimize(pinball, np.array([2.0, 0.5]), method="Nelder-Mead").x
    return max(0.3, float(found[0])), max(0.0, float(found[1]))


if __name__ == "__main__":
    main()
