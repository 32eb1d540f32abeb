"""From a recipe to the list of registrations to run."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmatch.errors import InputError, UsageError
from xmatch.evaluation.datasets.manifest import read_rows
from xmatch.registration import RegisterOptions

Fill = Literal["none", "mask", "noise", "other"]
"""What stands in the black border of the moving images: the border as it is; the same, declared nodata; noise,
declared nodata; another image, declared nodata."""


@dataclass(frozen=True)
class SetSpec:
    manifest: str
    """A pairs.jsonl, or a glob of several; relative paths start at the recipe's folder."""
    name: str | None = None
    """How tables call it; default: what tells its path apart from the others'."""
    repeats: bool = False
    """Its rows show some places more than once, like frames of one camera: strangers come from other sets only."""


@dataclass(frozen=True)
class EvalRecipe:
    """What `xmatch eval` measures, and on what."""

    manifest: tuple[str | SetSpec, ...]
    register: RegisterOptions = RegisterOptions()
    fill: Fill = "none"
    unrelated: bool = False
    """Also try as many pairs of unrelated images, which a verdict must reject."""
    limit: int | None = None
    """First so many pairs of each set only."""
    thresholds_px: tuple[float, ...] = (3.0, 5.0, 10.0, 20.0)
    """Of AUC@px and success@px."""
    right_px: float = 5.0
    """A corner error below this is right."""
    wrong_px: float = 10.0
    """A corner error above this is wrong, as is every alignment of unrelated images."""
    seed: int = 0
    """Of border noise and bootstrap intervals; the registration's own is `register.seed`."""

    def __post_init__(self) -> None:
        if not self.manifest:
            raise ValueError("manifest names no pairs")
        if not self.thresholds_px or min(self.thresholds_px) <= 0:
            raise ValueError("thresholds_px must be numbers above 0")
        if not 0 < self.right_px <= self.wrong_px:
            raise ValueError("want 0 < right_px <= wrong_px")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Task:
    """One registration to run, or the reason why its row of the manifest cannot be."""

    id: str
    """Set and row, "Optical-SAR/0007"; unrelated pairs name both, "Optical-SAR/0007 x Nighttime/0027"."""
    set: str
    fixed: str
    moving: str
    truth: list[list[float]] | None
    """(3, 3) moving -> fixed, corner-counted px; None for unrelated images."""
    related: bool = True
    filler: str | None = None
    """The image whose content fills the border of moving when the recipe says `fill: other`."""
    problem: str | None = None


def plan(recipe: EvalRecipe, folder: str | os.PathLike) -> list[Task]:
    """The registrations that a recipe asks for, manifests being relative to `folder`.

    Raises:
        InputError: no manifest matches, or one cannot be read or is empty.
        UsageError: two sets have the same name.
    """
    found = manifests(recipe, folder)
    sets = {name: _pairs(path, name) for name, path, _ in found}
    tasks = []
    for turn, (name, _, repeats) in enumerate(found):
        pairs, others = sets[name], sets[found[(turn + 1) % len(found)][0]]
        for row, task in enumerate(pairs[: recipe.limit]):
            near = pairs[_far_row(row, len(pairs))]
            # Its fixed image has no border of its own.
            tasks.append(dataclasses.replace(task, filler=near.fixed))
            if recipe.unrelated:
                # Every other stranger is of the same set, the rest of the next set: both kinds must be rejected.
                abroad = (row % 2 or repeats) and len(found) > 1
                tasks += _unrelated(task, others[row % len(others)] if abroad else near, repeats)
    return tasks


def manifests(recipe: EvalRecipe, folder: str | os.PathLike) -> list[tuple[str, str, bool]]:
    """(name, path, repeats) of every set, in the recipe's order, globs sorted."""
    found: list[tuple[SetSpec, str]] = []
    for entry in recipe.manifest:
        spec = entry if isinstance(entry, SetSpec) else SetSpec(entry)
        pattern = os.path.join(folder, os.path.expanduser(spec.manifest))
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise InputError("no manifest of pairs there", path=pattern, hint="is --data, or the recipe's path, right?")
        found += [(spec, path) for path in paths]
    short = _short_names([path for _, path in found])
    names = [spec.name or name for (spec, _), name in zip(found, short, strict=True)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"several sets are called {', '.join(sorted(twice))}", hint="give each its own name")
    return [(name, path, spec.repeats) for name, (spec, path) in zip(names, found, strict=True)]


def data_digest(recipe: EvalRecipe, folder: str | os.PathLike, tasks: list[Task]) -> str:
    """SHA-256 over the manifests and all images, for the certificate; an image that is missing counts as such."""
    from xmatch.io import file_digest

    digest = hashlib.sha256()
    for _, path, _ in manifests(recipe, folder):
        digest.update(Path(path).read_bytes())
    for path in sorted({p for task in tasks for p in (task.fixed, task.moving) if p}):
        digest.update((file_digest(path) if os.path.isfile(path) else "missing").encode())
    return digest.hexdigest()


def _far_row(row: int, n: int) -> int:
    """Half a set further on: neighbours often show the same place (frames of one camera, tiles of one scene)."""
    return (row + max(n // 2, 1)) % n


def _unrelated(task: Task, stranger: Task, repeats: bool) -> list[Task]:
    same = task.moving == stranger.moving or (repeats and task.set == stranger.set)
    if task.problem or stranger.problem or same:
        return []
    return [
        dataclasses.replace(task, id=f"{task.id} x {stranger.id}", moving=stranger.moving, truth=None, related=False)
    ]


def _pairs(path: str, name: str) -> list[Task]:
    """A row that cannot be read is a task with a problem, not an end of the run."""
    return [
        Task(
            id=f"{name}/{row.number:04d}",
            set=name,
            fixed=row.fixed,
            moving=row.moving,
            truth=None if row.moving_to_fixed is None else row.moving_to_fixed.tolist(),
            problem=row.problem,
        )
        for row in read_rows(Path(path))
    ]


def _short_names(paths: list[str]) -> list[str]:
    """What tells paths apart: .../SAR/val/pairs.jsonl and .../map/val/pairs.jsonl are SAR and map."""
    parts = [Path(path).with_suffix("").parts for path in paths]
    if len(paths) == 1:
        return [parts[0][-2] if parts[0][-1] == "pairs" and len(parts[0]) > 1 else parts[0][-1]]
    shortest = min(len(p) for p in parts)
    head = next((i for i in range(shortest) if len({p[i] for p in parts}) > 1), shortest)
    tail = next((i for i in range(1, shortest - head + 1) if len({p[-i] for p in parts}) > 1), 1)
    return ["/".join(p[head : len(p) - tail + 1]) for p in parts]
