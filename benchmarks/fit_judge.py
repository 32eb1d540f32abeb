"""Fit the judge: which of a pair's candidate poses is the right one.

    python benchmarks/fit_judge.py recipes/eval-srif-crop-train.yaml --data DIR --matcher xmatch-fields --limit 26

Conditional logistic regression (McFadden 1974) over the measures of `xmatch.verification.judge.ProposalJudge`, weights
not below 0, on the proposals that a matcher hands on. Prints weights for `WEIGHTS` or `WEIGHTS_WITH_LEARNED` and how
often the best one is a right one, in five-fold cross-validation by pair. Measured ones are kept in a file beside, so
that a run goes on where it stopped. Only training splits belong into the fit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from xmatch.coords import corners
from xmatch.evaluation import EvalRecipe, plan
from xmatch.geometry.matrices import apply_affine, apply_projective
from xmatch.io import open_source
from xmatch.matchers.registry import load_matcher
from xmatch.recipe import load_recipe
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pose_selection import similar
from xmatch.registration.view_planning import frame_pair
from xmatch.verification.judge import ProposalJudge
from xmatch.verification.measures import JUDGED_RANGES

RIGHT_PX, NEAR_PX = 15.0, 3.0
"""A candidate is right below the first, and within the second of the pair's best: sharpening does the rest."""
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--matcher", default="xmatch-fields")
    parser.add_argument("--weights")
    parser.add_argument("--limit", type=int, help="first so many pairs of each set only")
    parser.add_argument("--penalty", type=float, default=0.01, help="L2, of weights of standardised measures")
    parser.add_argument("-o", "--output", type=Path, default=Path("candidates.jsonl"))
    args = parser.parse_args()
    rows = measured(args)
    names = [name for name in JUDGED_RANGES if all(name in c["measures"] for row in rows for c in row["candidates"])]
    pairs = [pair for row in rows if (pair := told_apart(row, names)) is not None]
    spread = np.vstack([x for x, _ in pairs]).std(axis=0) + 1e-9
    pairs = [(x / spread, right) for x, right in pairs]
    fold = np.random.default_rng(0).permutation(len(pairs)) % FOLDS
    picked = 0
    for part in range(FOLDS):
        weights = fitted([pair for pair, k in zip(pairs, fold, strict=True) if k != part], args.penalty)
        picked += sum(picks_right(pair, weights) for pair, k in zip(pairs, fold, strict=True) if k == part)
    weights = fitted(pairs, args.penalty) / spread
    found = dict(zip(names, np.round(weights, 4).tolist(), strict=True))
    print(
        json.dumps({"pairs": len(rows), "decidable": len(pairs), "crossvalidated": picked, "weights": found}, indent=1)
    )


def measured(args: argparse.Namespace) -> list[dict]:
    """Candidates of every pair of the recipe with their measures and errors, those of the output file first."""
    settings = load_recipe(args.recipe, EvalRecipe)
    done = [json.loads(line) for line in args.output.read_text().splitlines()] if args.output.exists() else []
    known = {row["id"] for row in done}
    tasks = [task for task in plan(settings, args.data) if task.related and not task.problem]
    if args.limit:
        tasks = [task for task in tasks if int(task.id.rsplit("/", 1)[1]) < args.limit]
    matcher = load_matcher(args.matcher, args.weights, "auto")
    with args.output.open("a") as file:
        for task in tasks:
            if task.id not in known:
                done.append({"id": task.id, "candidates": candidates(task, matcher)})
                file.write(json.dumps(done[-1]) + "\n")
                file.flush()
    return done


def candidates(task, matcher) -> list[dict]:
    """What the matcher hands on for one pair."""
    frame = frame_pair(open_source(task.fixed), open_source(task.moving), RegisterOptions())
    matches = matcher(frame.fixed, frame.moving, frame.within, seed=0, threads=1)
    judge = ProposalJudge(frame.fixed, frame.moving, matches.descriptor)
    to_fixed, to_moving = frame.fixed.to_pixel, frame.moving.to_pixel
    outline = apply_affine(to_moving, corners(frame.moving.width, frame.moving.height))
    true_xy = apply_projective(np.array(task.truth), outline)
    found = []
    for pose in matches.proposals:
        matrix = to_fixed @ pose.matrix @ np.linalg.inv(to_moving)
        error = np.linalg.norm(apply_projective(matrix, outline) - true_xy, axis=1).mean()
        found.append({"error_px": float(error), "measures": judge(similar(pose.matrix, frame.moving))})
    return found


def told_apart(row: dict, names: list[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """(N, K) measures and (N,) bool right; None where all candidates are right or none is."""
    errors = np.array([c["error_px"] for c in row["candidates"]])
    right = errors < min(RIGHT_PX, errors.min(initial=np.inf) + NEAR_PX)
    if not right.any() or right.all():
        return None
    return np.array([[np.clip(c["measures"][n], *JUDGED_RANGES[n]) for n in names] for c in row["candidates"]]), right


def picks_right(pair: tuple[np.ndarray, np.ndarray], weights: np.ndarray) -> bool:
    measures, right = pair
    return bool(right[np.argmax(measures @ weights)])


def fitted(pairs: list[tuple[np.ndarray, np.ndarray]], penalty: float) -> np.ndarray:
    """(K,) weights that make the right candidates of all pairs most probable."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = penalty * (weights**2).sum(), 2 * penalty * weights
        for measures, right in pairs:
            score = measures @ weights
            share = np.exp(score - score.max())
            among, of_right = share / share.sum(), share * right / (share * right).sum()
            total -= np.log((share * right).sum() / share.sum()) / len(pairs)
            slope = slope - (of_right - among) @ measures / len(pairs)
        return total, slope

    count = pairs[0][0].shape[1]
    return minimize(loss, np.full(count, 0.1), jac=True, bounds=[(0, None)] * count).x


if __name__ == "__main__":
    main()
