"""The median and the worst pair of each matcher, as small pictures."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmatch.correspondences import Correspondences
from xmatch.errors import XmatchError
from xmatch.evaluation.methods import Method
from xmatch.evaluation.predict import read_predictions
from xmatch.evaluation.prediction_rows import ErrorName, PredictionRow
from xmatch.evaluation.prepare import prepare
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.result_rows import PairResult, ResultsDocument
from xmatch.evaluation.scores import KINDS
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import as_transform
from xmatch.io import open_source
from xmatch.report.drawing import jpeg
from xmatch.report.previews import Previews, make_previews
from xmatch.result import Registration, Verdict

SIDE_PX = 300
"""Longest side of a picture."""
SQUARES = 8
"""Of the checkerboard, along the longer side."""


@dataclass(frozen=True)
class PairPicture:
    matcher: str
    what: str
    """"median" or "worst"."""
    pair: str
    error: float | None
    uri: str


def pictures(
    document: ResultsDocument,
    tasks: list[Task],
    predictions: Mapping[Method, str | os.PathLike[str]],
    recipe: EvalRecipe,
) -> list[PairPicture]:
    """Fixed and warped moving as a checkerboard; matchers and peers only. A pair that cannot be read has none.

    They show the user's data: a page with them is the user's too.
    """
    by_id, error = {task.id: task for task in tasks}, KINDS[document["kind"]].error
    found = []
    for method, path in predictions.items():
        if method.kind == "control":
            continue
        rows = {row["id"]: row for row in read_predictions(path)[2]}
        for what, pair in _chosen(document["matchers"][method.name]["pairs"], error):
            uri = _drawn(by_id[pair["id"]], rows[pair["id"]], recipe) if pair["id"] in by_id else None
            if uri is not None:
                found.append(PairPicture(method.name, what, pair["id"], pair[error], uri))
    return found


def _chosen(pairs: list[PairResult], key: ErrorName) -> list[tuple[str, PairResult]]:
    """The median and the worst of the related pairs; of those that failed, one that has a transform if any does."""
    related = [pair for pair in pairs if pair["related"]]
    related.sort(key=lambda pair: math.inf if (error := pair.get(key)) is None else error)
    if not related:
        return []
    finite = [pair for pair in related if pair.get(key) is not None]
    chosen = [("median", related[(len(related) - 1) // 2])]
    return chosen + [("worst", (finite or related)[-1])] if len(related) > 1 else chosen


def _drawn(task: Task, row: PredictionRow, recipe: EvalRecipe) -> str | None:
    estimate = row.get("transform")
    transform = None if estimate is None else as_transform(estimate)
    nothing = np.zeros(0)
    shown = Registration(
        {}, {}, transform, Correspondences.empty(), nothing.astype(bool), nothing, Verdict(False, 0.0, "not asked")
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            pair = prepare(task, recipe, Path(folder))
            with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
                return _checkerboard(make_previews(fixed, moving, shown, SIDE_PX))
    except (XmatchError, ValueError):
        return None


def _checkerboard(seen: Previews) -> str:
    if seen.moving_warped is None or seen.warped_valid is None:
        return jpeg(seen.fixed, seen.fixed_valid)
    fixed, warped = (_rgb(image) for image in (seen.fixed, seen.moving_warped))
    side = max(1, -(-max(fixed.shape[:2]) // SQUARES))
    rows, columns = np.indices(fixed.shape[:2]) // side
    ours = ((rows + columns) % 2 == 1) & seen.warped_valid
    return jpeg(np.where(ours[..., None], warped, fixed), seen.fixed_valid | ours)


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
