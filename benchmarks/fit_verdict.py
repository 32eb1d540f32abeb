"""Fit the verdict on predictions of one matcher that `xmatch eval` saved, and write its calibration.

    xmatch eval recipes/eval-srif-crop-train.yaml --no-controls --data DIR -o train.json
    xmatch eval recipes/eval-verdict-medical.yaml --no-controls --data DIR -o medical.json
    xmatch eval recipes/eval-verdict-bent.yaml --no-controls --data DIR -o bent.json
    python benchmarks/fit_verdict.py structural {train,medical,bent}.structural.predictions.jsonl \
        --check val.structural.predictions.jsonl

Unrelated slices of different patients are among what must be rejected, and pairs that were bent, of which no similarity
is right any more.

Logistic regression with an L2 penalty chosen by cross-validation; alignments between the right and the wrong bound
are left out of the fit. At the threshold, in cross-validation, no more than one percent of wrong ones pass. The
guards against repeated patterns, few tie points and maps that lie on few regions give up one right alignment in a
hundred, each limit.
Only training splits belong into the fit; --check judges the evidence saved for others by the result.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.scores import KINDS
from xmatch.io.checksum import sha256
from xmatch.verification import calibration, verdict
from xmatch.verification.calibration import Calibration
from xmatch.verification.measures import MEASURES, RANGES

RIGHT_PX, WRONG_PX = 5.0, 12.0
"""What lies between is left out: neither truths nor bends say what it is."""
PENALTIES = (0.003, 0.01, 0.03, 0.1)
FOLDS = 10
WRONG_SHARE, RIGHT_SHARE = 0.01, 0.95
GUARD_SHARE = 0.01
"""Right alignments that each limit of the guard may cost."""
SEEN = (0.005, 0.995)
"""Quantiles of each measure between which the fit is believed."""
JUDGED = EvalRecipe(("any",))
"""Nothing of how it judges is used but that there are no quirks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "matcher", help="whose predictions these are: names the file in xmatch/verification/calibration"
    )
    parser.add_argument("predictions", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, help="elsewhere than there")
    parser.add_argument("--exclude", help="ids of pairs whose truth a look at them proved wrong, comma-separated")
    parser.add_argument("--check", type=Path, help="predictions of another split, judged by the new fit")
    args = parser.parse_args()
    excluded = args.exclude.split(",") if args.exclude else []
    heads, parts = zip(*(read(path, excluded) for path in args.predictions), strict=True)
    pairs = [row for part in parts for row in part]
    names = weighed(pairs)
    evidence = np.array([[np.clip(row["verdict"]["evidence"][n], *RANGES[n]) for n in names] for row in pairs])
    low, high = np.quantile(evidence, SEEN, axis=0)
    values = np.clip(evidence, low, high)
    errors = np.array([error(row) for row in pairs])
    decided = (errors < RIGHT_PX) | (errors > WRONG_PX)
    x, y, groups = values[decided], errors[decided] < RIGHT_PX, group_numbers(pairs)[decided]
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = (x - mean) / spread
    losses = {penalty: log_loss(y, crossed(z, y, names, groups, penalty)) for penalty in PENALTIES}
    penalty = min(losses, key=losses.get)
    scores = crossed(z, y, names, groups, penalty)
    lowest, wanted = np.quantile(scores[~y], 1 - WRONG_SHARE), np.quantile(scores[y], 1 - RIGHT_SHARE)
    # Where the classes part, the middle of the gap is as far from either as can be had.
    threshold = float(1 / (1 + np.exp(-(lowest if wanted < lowest else (lowest + wanted) / 2))))
    threshold = max(0.5, threshold)
    weights = fit(z, y, names, penalty)
    right = [row["verdict"]["evidence"] for row, e in zip(pairs, errors, strict=True) if e < RIGHT_PX]
    accepted = scores > np.log(threshold / (1 - threshold))
    fitted = weights[0] + (values - mean) / spread @ weights[1:]
    passed = (fitted > np.log(threshold / (1 - threshold))) & (errors < RIGHT_PX)
    told = [row["verdict"]["evidence"]["inliers"] for row, passes in zip(pairs, passed, strict=True) if passes]
    held = [row["verdict"]["evidence"]["regions_share"] for row, passes in zip(pairs, passed, strict=True) if passes]
    document = {
        "intercept": round(weights[0], 4),
        "weights": dict(zip(names, np.round(weights[1:], 4).tolist(), strict=True)),
        "mean": dict(zip(names, np.round(mean, 5).tolist(), strict=True)),
        "spread": dict(zip(names, np.round(spread, 5).tolist(), strict=True)),
        "range": dict(zip(names, np.round(np.stack([low, high], 1), 5).tolist(), strict=True)),
        "threshold": round(threshold, 3),
        "min_lead": round(float(np.quantile([e["lead"] for e in right], GUARD_SHARE)), 3),
        "max_repetition": round(float(np.quantile([e["repetition"] for e in right], 1 - GUARD_SHARE)), 3),
        "min_inliers": float(np.floor(np.quantile(told, GUARD_SHARE))),
        "min_regions_share": round(float(np.quantile(held, GUARD_SHARE)), 3),
        "certificate": {
            "command": " ".join(
                [
                    "python benchmarks/fit_verdict.py",
                    args.matcher,
                    *(path.name for path in args.predictions),
                    *exclusions(excluded),
                ]
            ),
            "date": datetime.date.today().isoformat(),
            "recipe": [{k: head["recipe"][k] for k in ("manifest", "dataset", "sweep", "warp")} for head in heads],
            "data_sha256": [head["data_sha256"] for head in heads],
            "predictions_sha256": [sha256(path) for path in args.predictions],
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
    output = args.output or Path(calibration.__file__).with_name(f"{args.matcher}.json")
    output.write_text(json.dumps(document, indent=1) + "\n")
    print(
        json.dumps(
            {
                k: document[k]
                for k in ("threshold", "min_lead", "max_repetition", "min_inliers", "min_regions_share", "certificate")
            },
            indent=1,
        )
    )
    if args.check:
        print(json.dumps(checked(args.check, Calibration.from_dict(args.matcher, document)), indent=1))


def weighed(pairs: list[dict]) -> list[str]:
    """Measures that all alignments carry."""
    return sorted(n for n in RANGES if all(n in row["verdict"]["evidence"] for row in pairs))


def read(path: Path, excluded: list[str]) -> tuple[dict, list[dict]]:
    """The head of a predictions file, and its rows that carry evidence."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [row for row in rows if "id" in row and (row.get("verdict") or {}).get("evidence")]
    # Aligned medical pairs are as exact as whoever aligned them, which is not enough: they only serve as strangers.
    kept = [row for row in kept if not (row["related"] and row["id"].startswith("aligned/"))]
    return rows[0], [row for row in kept if row["id"] not in excluded]


def exclusions(excluded: list[str]) -> list[str]:
    return ["--exclude", repr(",".join(excluded))] if excluded else []


def checked(path: Path, model: Calibration) -> dict:
    """How the evidence of another split is judged: acceptance of right and wrong ones."""
    _, pairs = read(path, [])
    errors = np.array([error(row) for row in pairs])
    given = np.array([row["verdict"]["evidence"] for row in pairs])
    scores = np.array([verdict.score(e, model) for e in given])
    unique = np.array([passes_guards(e, model) for e in given])
    fits = scores >= np.log(model.threshold / (1 - model.threshold))
    accepted, right, wrong = unique & fits, errors < RIGHT_PX, errors > WRONG_PX
    return {
        "n": len(pairs),
        "right_accepted": f"{int((accepted & right).sum())} of {int(right.sum())}",
        "wrong_accepted": f"{int((accepted & wrong).sum())} of {int(wrong.sum())}",
        "wrong_ids": [row["id"] for row, bad in zip(pairs, accepted & wrong, strict=True) if bad],
        "refused_by_the_guard_alone": int((~unique & right & fits).sum()),
        "roc_area": round(float(np.mean(scores[right][:, None] > scores[wrong][None])), 4),
    }


def passes_guards(evidence: dict[str, float], model: Calibration) -> bool:
    enough = evidence["lead"] >= model.min_lead and evidence["inliers"] >= model.min_inliers
    widely = evidence["regions_share"] >= model.min_regions_share
    return enough and widely and evidence["repetition"] <= model.max_repetition


def error(row: dict) -> float:
    """Corner error in px, or the error over the overlap where the truth bends; infinite for unrelated images and where
    there is no transform."""
    return _number(row, KINDS[row["kind"]].error)


def _number(row: dict, name: str) -> float:
    if not row["related"] or row["transform"] is None:
        return np.inf
    found = KINDS[row["kind"]].score(row, None, JUDGED)[name]
    return np.inf if np.isnan(found) else found


def group_numbers(pairs: list[dict]) -> np.ndarray:
    """The same fixed image keeps to one fold."""
    keys = [re.sub(r"^\w+=[^/]*/|#\d+$", "", row["id"].split(" x ")[0]) for row in pairs]
    order = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys])


def fit(z: np.ndarray, y: np.ndarray, names: list[str], penalty: float) -> np.ndarray:
    """(1 + K,) intercept and weights; both classes count alike in sum."""
    sign = np.where(y, 1.0, -1.0)
    share = np.where(y, 0.5 / y.mean(), 0.5 / (~y).mean())
    design = np.column_stack([np.ones(len(z)), z])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (design @ w)
        pull = -sign * share / (1 + np.exp(margin))
        ridge = penalty * np.r_[0.0, w[1:]]
        return float((share * np.logaddexp(0, -margin)).mean() + 0.5 * ridge @ w), design.T @ pull / len(z) + ridge

    signs = [MEASURES[name].sign for name in names]
    bounds = [(None, None)] + [(0.0, None) if sign > 0 else (None, 0.0) for sign in signs]
    return minimize(loss, np.zeros(design.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x


def crossed(z: np.ndarray, y: np.ndarray, names: list[str], groups: np.ndarray, penalty: float) -> np.ndarray:
    """Log-odds of each row by a fit that did not see it."""
    fold = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % FOLDS
    scores = np.zeros(len(z))
    for part in range(FOLDS):
        w = fit(z[fold != part], y[fold != part], names, penalty)
        scores[fold == part] = w[0] + z[fold == part] @ w[1:]
    return scores


def log_loss(y: np.ndarray, scores: np.ndarray) -> float:
    return float(np.logaddexp(0, -np.where(y, scores, -scores)).mean())


if __name__ == "__main__":
    main()
