"""Where a right pose stands among the proposals of a search: what descriptors are worth, before refining and judging.

    python benchmarks/search_ranks.py recipes/eval-srif-crop-train.yaml --data DIR --limit 12 --weights shipped

With `--weights` (a file, or `shipped` for those in the package) the descriptors of a network, else those of
edges. Prints, for each set, the share of pairs with a right pose first, among three, among all; the right one's score
over the best wrong one's; CPU seconds of the search. Right is within 12 % of fixed's side and 60 px: near enough to be
refined. Only training splits belong into a choice.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from xmatch.coords import corners
from xmatch.evaluation import EvalRecipe, plan
from xmatch.evaluation.plan import Task
from xmatch.geometry.matrices import apply_projective
from xmatch.io import open_source
from xmatch.matchers.search.descriptors import Descriptor
from xmatch.matchers.search.fourier import search
from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
from xmatch.matchers.search.pooled_descriptors import pooled_edge_descriptors
from xmatch.matchers.search.settings import EDGE_SEARCH, LEARNED_SEARCH, SearchSettings
from xmatch.networks.loading import load_network
from xmatch.recipe import load_recipe
from xmatch.registration.options import RegisterOptions
from xmatch.registration.view_planning import frame_pair

NEAR, NEAR_PX = 0.12, 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", help="of a network that describes images; `shipped`: those in the package")
    parser.add_argument("--limit", type=int, help="first so many pairs of each set only")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    descriptor, how = pooled_edge_descriptors, EDGE_SEARCH
    if args.weights:
        descriptor = LearnedDescriptor(
            load_network("xmatch-fields" if args.weights == "shipped" else args.weights).network, "cpu"
        )
        how = LEARNED_SEARCH
    found = defaultdict(list)
    for task in plan(replace(load_recipe(args.recipe, EvalRecipe), limit=args.limit), args.data):
        if task.related:
            found[task.set].append(ranked(task, descriptor, how))
    print(f"| set | n | first | three | {how.found} | ratio | CPU s |\n| --- | --- | --- | --- | --- | --- | --- |")
    means = [line(name, np.array(rows)) for name, rows in found.items()]
    print("| mean | {:.0f} | {:.1f} | {:.1f} | {:.1f} | {:.2f} | {:.2f} |".format(*np.mean(means, axis=0)))


def line(name: str, rows: np.ndarray) -> list[float]:
    """One set's numbers, printed."""
    rank, ratio, seconds = rows.T
    shares = [100 * float((rank < k).mean()) for k in (1, 3, np.inf)]
    numbers = [len(rows), *shares, float(ratio.mean()), float(seconds.mean())]
    print("| {} | {} | {:.0f} | {:.0f} | {:.0f} | {:.2f} | {:.2f} |".format(name, *numbers), flush=True)
    return numbers


def ranked(task: Task, descriptor: Descriptor, how: SearchSettings) -> tuple[float, float, float]:
    """(rank of the first right candidate, infinite without; its score over the best wrong one's, 0 without; CPU s)."""
    with open_source(task.fixed) as fixed, open_source(task.moving) as moving:
        frame = frame_pair(fixed, moving, RegisterOptions(threads=1))
        outline = corners(moving.header.width, moving.header.height)
        side = np.sqrt(fixed.header.width * fixed.header.height)
    start = time.process_time()
    poses = search(
        frame.fixed,
        frame.moving,
        frame.within,
        side_px=how.side_px,
        angle_step_deg=how.angle_step_deg,
        scale_step=how.scale_step,
        keep=how.found,
        descriptor=descriptor,
    )
    seconds = time.process_time() - start
    true = apply_projective(np.array(task.truth), outline)
    from_pixel = np.linalg.inv(frame.moving.to_pixel)
    errors = [
        np.linalg.norm(apply_projective(frame.fixed.to_pixel @ pose.matrix @ from_pixel, outline) - true, axis=1).mean()
        for pose in poses
    ]
    right = np.array(errors) < min(NEAR * side, NEAR_PX)
    if not right.any():
        return np.inf, 0.0, seconds
    rank = int(np.argmax(right))
    wrong = [pose.score for pose, fits in zip(poses, right, strict=True) if not fits]
    return rank, poses[rank].score / wrong[0] if wrong else 1.0, seconds


if __name__ == "__main__":
    main()
