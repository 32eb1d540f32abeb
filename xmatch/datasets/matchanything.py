"""The evaluation lists of MatchAnything (He et al., 2025) and whoever writes them alike (AmalgaMatch).

`<set>/eval_indexs/<name>.npz`, as a `val_list.txt` or `test_list.txt` beside or one folder above them names them, with
pair_infos, image_paths (counted from the set's folder) and one of three truths, in this order of precedence:

- gt_2D_matches, (N, 4) a pair: x y of image 0, x y of image 1;
- gt_2D_transforms, 2 x 3 a pair, image 0 -> image 1;
- intrinsics and poses (world to camera).

A pair is ((i, j), overlap, ...), and all is told by image; or (i, j), and paths and intrinsics are told as
`[index][which of the two]`. Some files are a pickled dict and no zip. Published errors are of image 0's corners or
points in image 1: so image 0 is moving, except for poses, where it is fixed as everywhere. Where positions count from
is not documented; they are taken as OpenCV's, the first centre being (0, 0).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xmatch.coords import from_centre_matrix, from_centre_xy
from xmatch.datasets.files import natural, need_folder, projective
from xmatch.datasets.posed import between, from_centre_intrinsics, pose_truth
from xmatch.datasets.safe_pickle import load_npz, load_pickle
from xmatch.datasets.sample import DataSet, LandmarkTruth, PoseTruth, Sample, TaskName, TransformTruth
from xmatch.errors import InputError

LISTS = ("val_list.txt", "test_list.txt")
TRUTHS = {"landmarks": ("gt_2D_matches",), "registration": ("gt_2D_transforms",), "pose": ("intrinsics", "poses")}
"""Task -> arrays; the first that a file has is its truth."""


def read(folder: Path, task: str) -> list[Sample]:
    """The pairs of all lists below the folder that have this kind of truth, by path and in the order of each list.

    Raises:
        InputError: there is no such list, or one cannot be read.
    """
    need_folder(folder, "MatchAnything's evaluation sets")
    samples = []
    for path in sorted((p for p in folder.rglob("*.npz") if _is_listed(p)), key=lambda p: natural(p.as_posix())):
        info = _content(path)
        if "pair_infos" in info and "image_paths" in info and _task(info) == task:
            samples += _samples(folder, path, info, READERS[task])
    if not samples:
        raise InputError(f"no lists (.npz) with pair_infos and {' and '.join(TRUTHS[task])} there", path=folder)
    return samples


def _is_listed(path: Path) -> bool:
    """Named by a list beside it or above it; without any list, every file counts."""
    lists = [place / name for place in (path.parent, path.parent.parent) for name in LISTS]
    lists = [file for file in lists if file.is_file()]
    named = (line.split() for file in lists for line in file.read_text(errors="replace").splitlines())
    return not lists or path.stem in {Path(words[0]).name.removesuffix(".npz") for words in named if words}


def _content(path: Path) -> dict[str, Any]:
    if zipfile.is_zipfile(path):
        return load_npz(path)
    content = load_pickle(path)
    return content if isinstance(content, dict) else {}


def _task(info: dict[str, Any]) -> str | None:
    return next((task for task, names in TRUTHS.items() if all(info.get(name) is not None for name in names)), None)


def _samples(folder: Path, path: Path, info: dict[str, Any], reader: Callable) -> list[Sample]:
    try:
        pairs = [_Pair(info, number) for number in range(len(info["pair_infos"]))]
        root = _root(folder, path, info, pairs)
        name = path.relative_to(folder).with_suffix("").as_posix()
        # Scenes of one set are its lists; the folder that all of them lie in says nothing.
        name = name.replace("/eval_indexs/", "/")
        samples = []
        for number, pair in enumerate(pairs):
            images = [root / pair.of("image_paths", side, text=True) for side in (0, 1)]
            fixed, moving = images if reader is _pose else images[::-1]
            samples.append(Sample(f"{name}/{number:04d}", name, fixed, moving, reader(info, number, pair, path)))
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise InputError(f"is not a list as MatchAnything writes them: {error}", path=path) from error
    return samples


class _Pair:
    """Where the values of a pair's two images stand."""

    def __init__(self, info: dict[str, Any], number: int) -> None:
        self.info, entry = info, info["pair_infos"][number]
        self.nested = np.ndim(entry[0]) > 0
        self.indices = tuple(int(index) for index in (entry[0] if self.nested else entry)[:2])

    def of(self, name: str, side: int, text: bool = False) -> Any:
        value = self.info[name][self.indices[side]]
        if not self.nested and not isinstance(value, str):
            value = value[side]
        return str(value) if text else value


def _root(folder: Path, path: Path, info: dict[str, Any], pairs: list[_Pair]) -> Path:
    """The folder of the set: as the list calls it, else the first below the root, or the one that was named itself."""
    named = [str(np.ravel(info["dataset_name"])[0])] if "dataset_name" in info else []
    first = path.relative_to(folder).parts[:-1][:1]
    places = [folder / name for name in (*named, *first)] + [folder]
    there = (place for place in places if pairs and (place / pairs[0].of("image_paths", 0, text=True)).is_file())
    return next(there, places[0])


def _landmarks(info: dict[str, Any], number: int, pair: _Pair, path: Path) -> LandmarkTruth:
    xy = from_centre_xy(np.array(info["gt_2D_matches"][number], dtype=np.float64).reshape(-1, 4))
    return LandmarkTruth(fixed_xy=xy[:, 2:], moving_xy=xy[:, :2])


def _registration(info: dict[str, Any], number: int, pair: _Pair, path: Path) -> TransformTruth:
    upper = np.array(info["gt_2D_transforms"][number], dtype=np.float64).reshape(-1, 3)[:2]
    return TransformTruth(projective(from_centre_matrix(np.vstack([upper, (0.0, 0.0, 1.0)])), path))


def _pose(info: dict[str, Any], number: int, pair: _Pair, path: Path) -> PoseTruth:
    fixed, moving = (from_centre_intrinsics(pair.of("intrinsics", side)) for side in (0, 1))
    i, j = pair.indices
    return pose_truth(fixed, moving, between(info["poses"][i], info["poses"][j]))


READERS = {"landmarks": _landmarks, "registration": _registration, "pose": _pose}

_SOURCE = "https://github.com/zju3dv/MatchAnything; each set has terms of its own"


def _dataset(task: TaskName) -> DataSet:
    layout = f"<set>/eval_indexs/*.npz with pair_infos, image_paths and {' and '.join(TRUTHS[task])}, and the images"
    return DataSet(f"matchanything-{task}", task, layout, _SOURCE, partial(read, task=task))


REGISTRATION, LANDMARKS, POSE = _dataset("registration"), _dataset("landmarks"), _dataset("pose")
