"""Robustness sweeps: known pairs brought onto each other, then changed by one factor at a time."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xmatch import metrics
from xmatch.coords import to_centre_matrix
from xmatch.errors import InputError, UsageError
from xmatch.evaluation.border import black_border, write_masked
from xmatch.evaluation.changes import FACTORS, Aligned
from xmatch.evaluation.cropping import LEAST_PX, largest_rectangle
from xmatch.evaluation.recipe import Change, EvalRecipe, SweepSpec
from xmatch.evaluation.scores import KINDS
from xmatch.io import open_source


def swept(tasks: list[Any], recipe: EvalRecipe) -> list[Any]:
    """Every task once for each factor, value and seed of the recipe.

    Raises:
        UsageError: the truth of a task is no map of the whole image.
    """
    if any(task.kind != "registration" for task in tasks):
        raise UsageError("sweeps change pairs whose truth is one map of the whole image", hint="leave out `sweep`")
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


def _settings(recipe: EvalRecipe) -> Iterator[tuple[str, float]]:
    for entry in recipe.sweep:
        spec = entry if isinstance(entry, SweepSpec) else SweepSpec(entry)
        for value in spec.values or FACTORS[spec.factor].values:
            yield spec.factor, float(value)


def write_changed(fixed: str, moving: str, truth: list, change: Change, folder: Path) -> tuple[str, str, list]:
    """The changed pair as two files in `folder`, and its truth (3, 3), moving px -> fixed px.

    Raises:
        InputError: an image cannot be read, or the two have hardly anything in common.
    """
    pair = aligned(fixed, moving, np.array(truth))
    changed = FACTORS[change.factor].change(pair, change.value, np.random.default_rng(change.seed))
    paths = folder / "changed_fixed.tif", folder / "changed_moving.tif"
    write_masked(paths[0], changed.fixed, np.ones(changed.fixed.shape[1:], bool))
    write_masked(paths[1], changed.moving, changed.moving_valid)
    return os.fspath(paths[0]), os.fspath(paths[1]), changed.truth.matrix.tolist()


def aligned(fixed: str, moving: str, truth: np.ndarray) -> Aligned:
    """Moving on fixed's pixels, both cut to the largest upright rectangle that both show."""
    import cv2

    with open_source(fixed) as source:
        here = source.read()
    with open_source(moving) as source:
        there = source.read()
    height, width = here.valid.shape
    seen = (there.valid & ~black_border(there.pixels)).astype(np.uint8)
    matrix, size = to_centre_matrix(truth), (width, height)
    bands = [cv2.warpPerspective(_drawable(band), matrix, size, flags=cv2.INTER_CUBIC) for band in there.pixels]
    seen = cv2.warpPerspective(seen, matrix, size, flags=cv2.INTER_NEAREST).astype(bool)
    x, y, w, h = largest_rectangle(here.valid & ~black_border(here.pixels) & seen)
    if min(w, h) < 2 * LEAST_PX:
        raise InputError(f"both images show only {w} x {h} px in common", path=moving)
    inside = np.s_[:, y : y + h, x : x + w]
    return Aligned(here.pixels[inside], np.stack(bands)[inside])


def _drawable(band: np.ndarray) -> np.ndarray:
    """A band in a type that OpenCV warps."""
    return band if band.dtype in (np.uint8, np.uint16, np.int16, np.float32) else band.astype(np.float32)


def sweep_results(parts: dict[str, dict[str, Any]], recipe: EvalRecipe) -> dict[str, Any]:
    """factor -> label, values, threshold, n, and per matcher the share of pairs below it with intervals, percent."""
    error, found = KINDS["registration"].error, {}
    for factor in dict.fromkeys(factor for factor, _ in _settings(recipe)):
        values = sorted({value for name, value in _settings(recipe) if name == factor})
        shares = {
            name: [_share(part["pairs"], factor, v, error, recipe) for v in values] for name, part in parts.items()
        }
        found[factor] = {
            "label": FACTORS[factor].label,
            "values": values,
            "threshold": recipe.right_px,
            "n": max(share.n for row in shares.values() for share in row),
            "matchers": {name: [share.value for share in row] for name, row in shares.items()},
            "intervals": {name: [list(share.interval) for share in row] for name, row in shares.items()},
        }
    return found


def _share(pairs: list[dict], factor: str, value: float, error: str, recipe: EvalRecipe) -> metrics.Share:
    """Pairs without an error (null) have failed."""
    chosen = [pair[error] for pair in pairs if pair.get("factor") == factor and pair.get("value") == value]
    right = np.array([each is not None and each < recipe.right_px for each in chosen], dtype=bool)
    return metrics.share(right, np.ones(len(right), dtype=bool))
