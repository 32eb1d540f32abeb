"""Pairs that are changed first: moving warped, or both brought onto each other and changed by one factor at a time."""

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
from xmatch.evaluation.changes import FACTORS, AlignedImages
from xmatch.evaluation.cropping import LEAST_PX, largest_rectangle
from xmatch.evaluation.moving_warps import warped
from xmatch.evaluation.prepared import PreparedPair
from xmatch.evaluation.recipe import Change, EvalRecipe, SweepSpec, WarpSpec
from xmatch.evaluation.result_rows import MethodResults, SweepResults
from xmatch.evaluation.scores import KINDS
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import as_transform, saved_map
from xmatch.geometry import compose
from xmatch.io import open_source


def changed(tasks: list[Task], recipe: EvalRecipe) -> list[Task]:
    """Every task with moving warped as the recipe says, once for each factor, value and seed of its sweep.

    An image is warped alike wherever it is shown.

    Raises:
        UsageError: the truth of a task is no map of the whole image.
    """
    if not (recipe.warps or recipe.sweep):
        return tasks
    if any(task.kind != "registration" for task in tasks):
        key = "sweep" if recipe.sweep else "warp"
        raise UsageError(f"{key} wants pairs whose truth is one map of the whole image", hint=f"leave out `{key}`")
    if recipe.bends:
        tasks = [dataclasses.replace(task, kind="bend") for task in tasks]
    several = len({task.set for task in tasks}) > 1
    if not recipe.sweep:
        return [dataclasses.replace(task, change=Change(_seed(task, recipe), recipe.warp)) for task in tasks]
    return [
        dataclasses.replace(
            task,
            id=f"{factor}={value:g}/{task.id}#{turn}",
            set=f"{factor}={value:g}/{task.set}" if several else f"{factor}={value:g}",
            change=_swept(factor, value, _seed(task, recipe, turn), recipe.warp),
        )
        for factor, value in _settings(recipe)
        for task in tasks
        for turn in range(recipe.sweep_seeds)
    ]


def _seed(task: Task, recipe: EvalRecipe, turn: int = 0) -> tuple[int, ...]:
    return recipe.seed, turn, zlib.crc32(task.id.split(" x ")[-1].encode())


def _swept(factor: str, value: float, seed: tuple[int, ...], warp: WarpSpec) -> Change:
    if FACTORS[factor].change is not None:
        return Change(seed, None, factor, value)
    return Change(seed, dataclasses.replace(warp, **{factor: value}), factor, value)


def _settings(recipe: EvalRecipe) -> Iterator[tuple[str, float]]:
    for entry in recipe.sweep:
        spec = entry if isinstance(entry, SweepSpec) else SweepSpec(entry)
        for value in spec.values or FACTORS[spec.factor].values:
            yield spec.factor, float(value)


def write_changed(pair: PreparedPair, change: Change, folder: Path) -> PreparedPair:
    """The changed pair, its files in `folder`; of unrelated ones, which have no truth, only moving can be warped.

    Raises:
        InputError: an image cannot be read or is too small, or the two have hardly anything in common.
    """
    rng, path = np.random.default_rng(change.seed), folder / "changed_moving.tif"
    truth = as_transform(pair.truth)
    if change.warp is not None:
        with open_source(pair.moving) as source:
            raster = source.read()
        made = warped(raster.pixels, raster.valid, change.warp, rng)
        moving = os.fspath(write_masked(path, made.pixels, made.valid))
        if truth is None:
            return PreparedPair(pair.fixed, moving, None)
        shown = made.valid[:: (step := metrics.lattice_step(*made.valid.shape)), ::step]
        return PreparedPair(
            pair.fixed,
            moving,
            saved_map(compose(made.to_source, truth)),
            moving_corners=made.corners_xy.tolist(),
            moving_seen=["".join("1" if each else "0" for each in row) for row in shown],
        )
    change_images = FACTORS[change.factor or ""].change
    assert change_images is not None and truth is not None and truth.matrix is not None  # as the recipe made sure of
    found = change_images(aligned(pair.fixed, pair.moving, truth.matrix), change.value, rng)
    fixed = folder / "changed_fixed.tif"
    write_masked(path, found.moving, found.moving_valid)
    write_masked(fixed, found.fixed, np.ones(found.fixed.shape[1:], bool))
    return PreparedPair(os.fspath(fixed), os.fspath(path), saved_map(found.truth))


def aligned(fixed: str, moving: str, truth: np.ndarray) -> AlignedImages:
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


def _cut(fixed: np.ndarray, moving: np.ndarray, seen: np.ndarray, path: str) -> AlignedImages:
    x, y, w, h = largest_rectangle(seen)
    if min(w, h) < 2 * LEAST_PX:
        raise InputError(f"both images show only {w} x {h} px in common", path=path)
    inside = np.s_[:, y : y + h, x : x + w]
    return AlignedImages(fixed[inside], moving[inside])


def _drawable(band: np.ndarray) -> np.ndarray:
    """A band in a type that OpenCV warps."""
    return band if band.dtype in (np.uint8, np.uint16, np.int16, np.float32) else band.astype(np.float32)


def sweep_results(parts: Mapping[str, MethodResults], recipe: EvalRecipe) -> dict[str, SweepResults]:
    """factor -> label, values, threshold, n, and per matcher the share of pairs below it with intervals, percent; of
    pairs of several sets all together, and then each set as "factor, set"."""
    found: dict[str, SweepResults] = {}
    for factor in dict.fromkeys(factor for factor, _ in _settings(recipe)):
        values = sorted({value for name, value in _settings(recipe) if name == factor})
        for part in (None, *_parts(parts, factor)):
            shares = {
                name: [_share(results, factor, value, part, recipe) for value in values]
                for name, results in parts.items()
            }
            found[factor if part is None else f"{factor}, {part}"] = {
                "label": FACTORS[factor].label,
                "values": values,
                "threshold": recipe.right_px,
                "n": max(share.n for row in shares.values() for share in row),
                "matchers": {name: [share.value for share in row] for name, row in shares.items()},
                "intervals": {name: [list(share.interval) for share in row] for name, row in shares.items()},
            }
    return found


def _parts(parts: Mapping[str, MethodResults], factor: str) -> list[str]:
    """The sets that were swept, where they are several: sets are called "factor=value/set" then."""
    names = [name for results in parts.values() for name in results["sets"] if name.startswith(f"{factor}=")]
    return list(dict.fromkeys(name.split("/", 1)[1] for name in names if "/" in name))


def _share(results: MethodResults, factor: str, value: float, part: str | None, recipe: EvalRecipe) -> metrics.Share:
    """Pairs without an error (null) have failed."""
    error = KINDS[results["kind"]].error
    chosen = [
        pair[error]
        for pair in results["pairs"]
        if pair["related"] and pair.get("factor") == factor and pair.get("value") == value
        if part is None or pair["set"].split("/", 1)[-1] == part
    ]
    right = np.array([each is not None and each < recipe.right_px for each in chosen], dtype=bool)
    return metrics.share(right, np.ones(len(right), dtype=bool))
