"""Fit the expected error place by place on predictions that `xmatch eval` saved, and write its calibration.

    xmatch eval recipes/eval-error-map.yaml --no-controls --data DIR -o train.json
    xmatch eval recipes/eval-error-map-aligned.yaml --no-controls --data DIR/train -o aligned.json
    python benchmarks/fit_error_map.py {train,aligned}.structural.predictions.jsonl --check val.auto.predictions.jsonl

Rows of accepted pairs hold what was measured around each cell of the overlap (`xmatch.verification.error_map`), and
truth says how far off the map is there. The 90 % quantile of the logarithm of that error, in px that were matched, is
linear in the measures (quantile regression, Koenker and Bassett, Econometrica 46, 1978); every pair has one voice, and
no measure may count against its sense. Errors of one pair go together, so the quantile of the cells over the overlap
is no bound for 90 % of it in nine in ten pairs: it is widened until it is. Pairs that are wrong altogether are left
out: of them the verdict speaks. Only training splits belong into the fit; --check judges others by the result, set by
set.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fit_verdict import FOLDS, WRONG_PX, group_numbers
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, hstack

from xmatch.coords import pixel_centres
from xmatch.evaluation.error_maps import as_error_map
from xmatch.evaluation.scores import COVERED
from xmatch.evaluation.truths import as_transform
from xmatch.io.checksum import sha256
from xmatch.metrics import distances_px
from xmatch.metrics.registration import lattice_step
from xmatch.verification import calibration
from xmatch.verification.error_map import expected_px

FALLS = ("agreeing", "all_agreeing")
"""Measures with which errors become smaller; they grow with all others."""
LEAST_PX = 0.05
"""Below that an error counts as this much: no truth is so exact."""
NODES = 96
"""Places of moving along its shorter side at which the error is looked at."""


@dataclass(frozen=True, eq=False)
class Pair:
    row: dict
    px: float
    """Side of a px that was matched, fixed px."""
    measures: dict[str, np.ndarray]
    """Name -> (C,)."""
    error_px: np.ndarray
    """(C,) mean over each cell, px that were matched."""
    share: np.ndarray
    """(C,) of the overlap."""
    p90_px: float
    """Of the error over the overlap, px that were matched."""
    said_px: np.ndarray
    """(C,) what its own registration expected."""
    said_all_px: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, help="elsewhere than in xmatch/verification/calibration")
    parser.add_argument("--check", type=Path, nargs="*", default=[], help="predictions of other pairs, to be judged")
    args = parser.parse_args()
    heads, parts = zip(*(read(path) for path in args.predictions), strict=True)
    pairs = [pair for part in parts for pair in part]
    names = list(pairs[0].measures)
    groups = group_numbers([pair.row for pair in pairs])
    fold = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % FOLDS
    expected: list[np.ndarray] = [np.zeros(0)] * len(pairs)
    for part in range(FOLDS):
        weights = fitted([pair for pair, f in zip(pairs, fold, strict=True) if f != part], names)
        for i in np.flatnonzero(fold == part):
            expected[i] = expected_px(pairs[i].measures, weights)
    # Of pairs left out, or it would be too narrow; so the share of pairs that it holds is no finding there.
    whole = np.array([quantile(each, pair.share) for each, pair in zip(expected, pairs, strict=True)])
    widened = max(1.0, float(np.quantile([pair.p90_px for pair in pairs] / whole, COVERED)))
    whole *= widened
    weights = fitted(pairs, names)
    document = {
        "weights": {name: round(value, 4) for name, value in weights.items()},
        "widened": round(widened, 3),
        "certificate": {
            "command": " ".join(["python benchmarks/fit_error_map.py", *(path.name for path in args.predictions)]),
            "date": datetime.date.today().isoformat(),
            "recipe": [{k: head["recipe"][k] for k in ("manifest", "dataset", "sweep", "warp")} for head in heads],
            "limit": [head["recipe"]["limit"] for head in heads],
            "data_sha256": [head["data_sha256"] for head in heads],
            "predictions_sha256": [sha256(path) for path in args.predictions],
            "n": len(pairs),
            "crossvalidated": told(pairs, expected, whole),
        },
    }
    output = args.output or Path(calibration.__file__).with_name(f"{calibration.ERROR_MAP}.json")
    output.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({k: v for k, v in document.items() if k != "certificate"}, indent=1))
    table("train, left out", pairs, expected, whole)
    for path in args.check:
        others = read(path)[1]
        table(f"{path.name}, as they said", others, [pair.said_px for pair in others], said(others))
        expected = [expected_px(pair.measures, weights) for pair in others]
        whole = np.array(
            [widened * quantile(each, pair.share) for each, pair in zip(expected, others, strict=True)], dtype=float
        )
        table(f"{path.name}, by this fit", others, expected, whole)


def read(path: Path) -> tuple[dict, list[Pair]]:
    """The head of a predictions file, and its accepted pairs that are not wrong."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = [pair_of(row) for row in rows if row.get("error_map") and row["related"] and row["verdict"]["accepted"]]
    return rows[0], [pair for pair in found if pair is not None and pair.p90_px < WRONG_PX]


def pair_of(row: dict) -> Pair | None:
    """None where no place of the overlap lands in a cell."""
    saved = as_error_map(row["error_map"])
    truth, estimate = as_transform(row["truth"]), as_transform(row["transform"])
    width, height = row["moving_size"]
    xy = pixel_centres(width, height, step=lattice_step(height, width, NODES)).reshape(-1, 2)
    landed = estimate(xy)
    column, row_of = np.floor((landed - saved.origin_xy) / saved.cell_px).astype(int).T
    rows, columns = saved.ce90_px.shape
    on = np.isfinite(saved.at(landed))
    if not on.any():
        return None
    px = saved.matched_px
    errors = distances_px(landed[on], truth(xy[on])) / px
    cell = row_of[on] * columns + column[on]
    count = np.bincount(cell, minlength=rows * columns)
    seen = count > 0
    return Pair(
        row,
        px,
        {name: values.ravel()[seen] for name, values in saved.measures.items()},
        np.bincount(cell, errors, minlength=rows * columns)[seen] / count[seen],
        count[seen] / count.sum(),
        float(np.quantile(errors, COVERED)),
        saved.ce90_px.ravel()[seen] / px,
        row["verdict"]["ce90_px"] / px,
    )


def fitted(pairs: list[Pair], names: list[str]) -> dict[str, float]:
    """Weights of the measures, and "intercept"."""
    design = np.concatenate([np.column_stack([np.ones_like(p.share), *(p.measures[n] for n in names)]) for p in pairs])
    target = np.concatenate([np.log(np.maximum(pair.error_px, LEAST_PX)) for pair in pairs])
    weight = np.concatenate([pair.share for pair in pairs])
    bounds = [(None, None), *((None, 0) if name in FALLS else (0, None) for name in names)]
    found = quantile_fit(design, target, weight, bounds)
    return dict(zip(["intercept", *names], found.tolist(), strict=True))


def quantile_fit(design: np.ndarray, target: np.ndarray, weight: np.ndarray, bounds: list) -> np.ndarray:
    """(K,) weights of the COVERED quantile: a linear programme over them and the parts above and below."""
    count, width = design.shape
    cost = np.r_[np.zeros(width), weight * COVERED, weight * (1 - COVERED)]
    equal = hstack([csr_array(design), eye_array(count), -eye_array(count)]).tocsc()
    limits = [*bounds, *([(0, None)] * (2 * count))]
    return linprog(cost, A_eq=equal, b_eq=target, bounds=limits, method="highs").x[:width]


def quantile(values: np.ndarray, share: np.ndarray) -> float:
    """The COVERED quantile over the overlap."""
    order = np.argsort(values)
    below = np.cumsum(share[order])
    return float(values[order][min(np.searchsorted(below, COVERED * below[-1]), len(order) - 1)])


def said(pairs: list[Pair]) -> np.ndarray:
    return np.array([pair.said_all_px for pair in pairs])


def told(pairs: list[Pair], expected: list[np.ndarray], whole: np.ndarray) -> dict[str, float]:
    """How often cells and pairs are as exact as expected."""
    within = [pair.share[pair.error_px <= each].sum() for pair, each in zip(pairs, expected, strict=True)]
    holds = np.array([pair.p90_px for pair in pairs]) <= whole
    return {
        "pairs": len(pairs),
        "cells_within_percent": round(100 * float(np.mean(within)), 1),
        "pairs_within_percent": round(100 * float(holds.mean()), 1),
        "expected_px_median": round(float(np.median(whole)), 2),
        "true_px_median": round(float(np.median([pair.p90_px for pair in pairs])), 2),
    }


def table(title: str, pairs: list[Pair], expected: list[np.ndarray], whole: np.ndarray) -> None:
    """A line a set, then all of them."""
    sets = defaultdict(list)
    for i, pair in enumerate(pairs):
        sets[pair.row["set"]].append(i)
    print(f"\n{title}")
    for name, chosen in [*sets.items(), ("all", list(range(len(pairs))))]:
        if chosen:
            found = told([pairs[i] for i in chosen], [expected[i] for i in chosen], whole[chosen])
            print(f"{name:40s} " + "  ".join(f"{key} {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
