"""Robustness sweeps: known pairs brought onto each other, then changed by one factor at a time."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from xmatch import metrics
from xmatch.coords import to_centre_matrix
from xmatch.errors import InputError, UsageError
from xmatch.evaluation.border import black_border, write_masked
from xmatch.evaluation.changes import FACTORS, Aligned
from xmatch.evaluation.cropping import LEAST_PX, largest_rectangle
from xmatch.evaluation.recipe import Change, EvalRecipe, SweepSpec
from xmatch.evaluation.rows import MethodResults, PairResult, SavedTruth, SweepResults
from xmatch.evaluation.scores import KINDS
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import saved_map
from xmatch.io import open_source


def swept(tasks: list[Task], recipe: EvalRecipe) -> list[Task]:
    """Every task once for each factor, value and seed of the recipe.

    Raises:
        UsageError: the truth of a task is no map of the whole image.
    """
    _only_maps(tasks, "sweep")
    return [
        dataclasses.replace(
            task,
            id=f"{factor}={value:g}/{task.id}#{seed}",
            set=f"{factor}={value:g}",
            change=Change(factor, value, (recipe.seed, seed, zlib.crc32(task.id.encode()))),
        )
        for factor, value in _settings(recipe)
        for task in tasks
        for seed in range(recipe.sweep_seeds)
    ]


def posed(tasks: list[Task], recipe: EvalRecipe) -> list[Task]:
    """Every task with moving turned, scaled and shifted by chance; an image is moved alike wherever it is shown.

    Raises:
        UsageError: the truth of a task is no map of the whole image.
    """
    _only_maps(tasks, "posed")
    return [
        dataclasses.replace(
            task,
            change=Change(
                "pose", float(recipe.posed or 0.0), (recipe.seed, zlib.crc32(task.id.split(" x ")[-1].encode()))
            ),
        )
        for task in tasks
    ]


def _only_maps(tasks: list[Task], key: str) -> None:
    if any(task.kind != "registration" for task in tasks):
        raise UsageError(f"{key} wants pairs whose truth is one map of the whole image", hint=f"leave out `{key}`")


def _settings(recipe: EvalRecipe) -> Iterator[tuple[str, float]]:
    for entry in recipe.sweep:
        spec = entry if isinstance(entry, SweepSpec) else SweepSpec(entry)
        for value in spec.values or FACTORS[spec.factor].values:
            yield spec.factor, float(value)


def write_changed(
    fixed: str, moving: str, truth: SavedTruth | None, change: Change, folder: Path
) -> tuple[str, str, SavedTruth | None]:
    """The changed pair as two files in `folder`, and its truth, moving px -> fixed px, as `truths` saves it; None for
    unrelated ones, of which moving is changed alone.

    Raises:
        InputError: an image cannot be read, or the two have hardly anything in common.
    """
    pair = aligned(moving, moving, np.eye(3)) if truth is None else aligned(fixed, moving, np.array(truth))
    changed = FACTORS[change.factor].change(pair, change.value, np.random.default_rng(change.seed))
    paths = folder / "changed_fixed.tif", folder / "changed_moving.tif"
    write_masked(paths[1], changed.moving, changed.moving_valid)
    if truth is None:
        return fixed, os.fspath(paths[1]), None
    write_masked(paths[0], changed.fixed, np.ones(changed.fixed.shape[1:], bool))
    return os.fspath(paths[0]), os.fspath(paths[1]), saved_map(changed.truth)


def aligned(fixed: str, moving: str, truth: np.ndarray) -> Aligned:
    """Moving on fixed's pixels, both cut to the largest upright rectangle that both show.

    A black border is no part of it, unless the two lie on each other already: then it is what both show.
    """
    import cv2

    with open_source(fixed) as source:
        here = source.read()
    with open_source(moving) as source:
        there = source.read()
    if here.valid.shape == there.valid.shape and np.array_equal(truth, np.eye(3)):
        return _cut(here.pixels, there.pixels, here.valid & there.valid, moving)
    height, width = here.valid.shape
    seen = (there.valid & ~black_border(there.pixels)).astype(np.uint8)
    matrix, size = to_centre_matrix(truth), (width, height)
    bands = [cv2.warpPerspective(_drawable(band), matrix, size, flags=cv2.INTER_CUBIC) for band in there.pixels]
    seen = cv2.warpPerspective(seen, matrix, size, flags=cv2.INTER_NEAREST).astype(bool)
    return _cut(here.pixels, np.stack(bands), here.valid & ~black_border(here.pixels) & seen, moving)


def _cut(fixed: np.ndarray, moving: np.ndarray, seen: np.ndarray, path: str) -> Aligned:
    x, y, w, h = largest_rectangle(seen)
    if min(w, h) < 2 * LEAST_PX:
        raise InputError(f"both images show only {w} x {h} px in common", path=path)
    inside = np.s_[:, y : y + h, x : x + w]
    return Aligned(fixed[inside], moving[inside])


def _drawable(band: np.ndarray) -> np.ndarray:
    """A band in a type that OpenCV warps."""
    return band if band.dtype in (np.uint8, np.uint16, np.int16, np.float32) else band.astype(np.float32)


def sweep_results(parts: Mapping[str, MethodResults], recipe: EvalRecipe) -> dict[str, SweepResults]:
    """factor -> label, values, threshold, n, and per matcher the share of pairs below it with intervals, percent."""
    found: dict[str, SweepResults] = {}
    for factor in dict.fromkeys(factor for factor, _ in _settings(recipe)):
        values = sorted({value for name, value in _settings(recipe) if name == factor})
        shares = {name: [_share(part["pairs"], factor, v, recipe) for v in values] for name, part in parts.items()}
        found[factor] = {
            "label": FACTORS[factor].label,
            "values": values,
            "threshold": recipe.right_px,
            "n": max(share.n for row in shares.values() for share in row),
            "matchers": {name: [share.value for share in row] for name, row in shares.items()},
            "intervals": {name: [list(share.interval) for share in row] for name, row in shares.items()},
        }
    return found


def _share(pairs: list[PairResult], factor: str, value: float, recipe: EvalRecipe) -> metrics.Share:
    """Pairs without an error (null) have failed."""
    error = KINDS["registration"].error
    chosen = [pair[error] for pair in pairs if pair.get("factor") == factor and pair.get("value") == value]
    right = np.array([each is not None and each < recipe.right_px for each in chosen], dtype=bool)
    return metrics.share(right, np.ones(len(right), dtype=bool))
