"""From a recipe to the list of registrations to run."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import hashlib
import json
import os
from pathlib import Path

from xmatch.datasets import DataSet, LandmarkTruth, TransformTruth, load_dataset
from xmatch.datasets.manifest import ManifestRow, read_rows
from xmatch.errors import InputError, UsageError
from xmatch.evaluation.prediction_rows import KindName, SavedTruth
from xmatch.evaluation.recipe import DatasetSpec, EvalRecipe, SetSpec
from xmatch.evaluation.sweeps import changed
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import saved
from xmatch.geometry import translation


def plan(recipe: EvalRecipe, folder: str | os.PathLike[str]) -> list[Task]:
    """The registrations that a recipe asks for, manifests being relative to `folder`.

    Raises:
        InputError: no manifest matches, or one cannot be read or is empty.
        UsageError: two sets have the same name, there is no such data set, or different tasks are mixed.
    """
    sets = [(name, _pairs(path, name, spec), spec.repeats) for name, path, spec in manifests(recipe, folder)]
    for spec in recipe.datasets:
        sets += _groups(spec, folder, several=len(recipe.datasets) + len(recipe.manifest) > 1)
    if recipe.itself:
        sets = [(name, [_of_itself(task) for task in pairs], repeats) for name, pairs, repeats in sets]
    _no_name_twice([name for name, *_ in sets])
    _one_kind(sets)
    tasks = []
    for turn, (_, pairs, repeats) in enumerate(sets):
        others = sets[(turn + 1) % len(sets)][1]
        for row, task in enumerate(pairs[: recipe.limit]):
            near = pairs[_far_row(row, len(pairs))]
            # Its fixed image has no border of its own.
            tasks.append(dataclasses.replace(task, filler=near.fixed))
            if recipe.unrelated:
                # Every other stranger is of the same set, the rest of the next set: both kinds must be rejected.
                abroad = (row % 2 or repeats) and len(sets) > 1
                tasks += _unrelated(task, others[row % len(others)] if abroad else near, repeats)
    return changed(tasks, recipe)


def by_kind(recipe: EvalRecipe) -> dict[str, EvalRecipe]:
    """A recipe of several data sets as one for each kind of pairs that they hold, by the kind's name; in the recipe's
    order. A recipe that names pairs of one's own, or one kind, stays as it is.

    Raises:
        UsageError: there is no such data set.
    """
    kinds: dict[str, list[DatasetSpec]] = {}
    for spec in recipe.datasets:
        kinds.setdefault(_kind(load_dataset(spec.name)), []).append(spec)
    if len(kinds) < 2 or recipe.manifest:
        return {"": recipe}
    return {kind: dataclasses.replace(recipe, dataset=tuple(specs)) for kind, specs in kinds.items()}


def manifests(recipe: EvalRecipe, folder: str | os.PathLike[str]) -> list[tuple[str, str, SetSpec]]:
    """(name, path, what the recipe says) of every set, in the recipe's order, globs sorted."""
    found: list[tuple[SetSpec, str]] = []
    for entry in recipe.manifest:
        spec = entry if isinstance(entry, SetSpec) else SetSpec(entry)
        pattern = os.path.join(folder, os.path.expanduser(spec.manifest))
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise InputError("no manifest of pairs there", path=pattern, hint="is --data, or the recipe's path, right?")
        found += [(spec, path) for path in paths]
    short = _short_names([path for _, path in found]) if found else []
    names = [spec.name or name for (spec, _), name in zip(found, short, strict=True)]
    return [(name, path, spec) for name, (spec, path) in zip(names, found, strict=True)]


def data_digest(recipe: EvalRecipe, folder: str | os.PathLike[str], tasks: list[Task]) -> str:
    """SHA-256 over the manifests and all images, for the certificate; an image that is missing counts as such."""
    from xmatch.io import file_digest

    digest = hashlib.sha256()
    for _, path, _ in manifests(recipe, folder):
        digest.update(Path(path).read_bytes())
    if recipe.datasets:
        digest.update(json.dumps([(task.id, task.truth) for task in tasks]).encode())
    for path in sorted({p for task in tasks for p in (task.fixed, task.moving) if p}):
        digest.update((file_digest(path) if os.path.isfile(path) else "missing").encode())
    return digest.hexdigest()


def _far_row(row: int, n: int) -> int:
    """Half a set further on: neighbours often show the same place (frames of one camera, tiles of one scene)."""
    return (row + max(n // 2, 1)) % n


def _of_itself(task: Task) -> Task:
    """Fixed, which is moving too."""
    truth = saved(TransformTruth(translation(0.0, 0.0)))
    return dataclasses.replace(task, moving=task.fixed, truth=truth, kind="registration", warp=None, frames=None)


def _unrelated(task: Task, stranger: Task, repeats: bool) -> list[Task]:
    same = task.moving == stranger.moving or (repeats and task.set == stranger.set)
    if task.problem or stranger.problem or same:
        return []
    return [
        dataclasses.replace(task, id=f"{task.id} x {stranger.id}", moving=stranger.moving, truth=None, related=False)
    ]


def _pairs(path: str, name: str, spec: SetSpec) -> list[Task]:
    """A row that cannot be read is a task with a problem, not an end of the run."""
    return [
        Task(
            id=f"{name}/{row.number:04d}",
            set=name,
            fixed=row.fixed,
            moving=row.moving,
            truth=_truth(row),
            kind="registration" if row.landmarks is None else "landmarks",
            problem=row.problem,
        )
        for row in read_rows(Path(path), spec.pixel_origin)
    ]


def _truth(row: ManifestRow) -> SavedTruth | None:
    if row.landmarks is not None:
        return saved(LandmarkTruth(fixed_xy=row.landmarks[:, 2:], moving_xy=row.landmarks[:, :2]))
    return None if row.moving_to_fixed is None else row.moving_to_fixed.tolist()


def _groups(spec: DatasetSpec, folder: str | os.PathLike[str], several: bool) -> list[tuple[str, list[Task], bool]]:
    """(name, pairs, repeats) of every group of a data set."""
    dataset = load_dataset(spec.name)
    kind = _kind(dataset)
    groups: dict[str, list[Task]] = {}
    for sample in dataset.read(Path(folder, os.path.expanduser(spec.folder))):
        if any(fnmatch.fnmatchcase(sample.id, pattern) for pattern in spec.without):
            continue
        name = f"{spec.name}/{sample.group}" if several else sample.group
        frames = None
        if sample.fixed_frame is not None and sample.moving_frame is not None:
            frames = (sample.group, sample.fixed_frame, sample.moving_frame)
        groups.setdefault(name, []).append(
            Task(
                id=f"{spec.name}/{sample.id}",
                set=name,
                fixed=os.fspath(sample.fixed),
                moving=os.fspath(sample.moving),
                truth=saved(sample.truth),
                kind=kind,
                frames=frames,
                warp=sample.warp,
                keeps_matches=dataset.task in ("homography", "pose"),
            )
        )
    return [(name, pairs, spec.repeats) for name, pairs in groups.items()]


def _kind(dataset: DataSet) -> KindName:
    return "registration" if dataset.task == "homography" else dataset.task


def _no_name_twice(names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"several sets are called {', '.join(sorted(twice))}", hint="give each its own name")


def _one_kind(sets: list[tuple[str, list[Task], bool]]) -> None:
    kinds = sorted({task.kind for _, pairs, _ in sets for task in pairs})
    if len(kinds) > 1:
        raise UsageError(
            f"{' and '.join(kinds)} are judged by different numbers and make no common table",
            hint="one recipe for each",
        )


def _short_names(paths: list[str]) -> list[str]:
    """What tells paths apart: .../SAR/val/pairs.jsonl and .../map/val/pairs.jsonl are SAR and map."""
    parts = [Path(path).with_suffix("").parts for path in paths]
    if len(paths) == 1:
        return [parts[0][-2] if parts[0][-1] == "pairs" and len(parts[0]) > 1 else parts[0][-1]]
    shortest = min(len(p) for p in parts)
    head = next((i for i in range(shortest) if len({p[i] for p in parts}) > 1), shortest)
    tail = next((i for i in range(1, shortest - head + 1) if len({p[-i] for p in parts}) > 1), 1)
    return ["/".join(p[head : len(p) - tail + 1]) for p in parts]
