"""MegaDepth-1500: photographs of two places with poses (Li and Snavely, 2018; the test list of LoFTR, CVPR 2021).

LoFTR's lists: `<scene>_<low>_<high>.npz` (0015_0.1_0.3.npz ... 0022_0.5_0.7.npz) with image_paths, intrinsics (3 x 3 of
the original image), poses (world to camera) and pair_infos, whose entries are ((i, j), overlap, matches). Image paths
count from the folder that holds `Undistorted_SfM`. Image i is fixed, j moving.

The poses come from COLMAP, whose first pixel centre is (0.5, 0.5): the intrinsics are ours as they stand. Photographs
are up to a few thousand px; published results resize them, and scale the intrinsics with them.

Training scenes are the same lists of other scenes (`scene_info_0.1_0.7`), with depth_paths beside them: depth maps of
MegaDepth itself, as large as the images, 0 or negative where unknown. Its own images stand in where D2-Net's
undistorted ones are missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmatch.datasets.files import need_folder
from xmatch.datasets.posed import as_matrix, between, pose_truth, scene
from xmatch.datasets.sample import DataSet, Sample
from xmatch.errors import InputError
from xmatch.io.text_files import read_text

HELD_OUT = ("0015", "0022")
"""Scenes of MegaDepth-1500, which no training may see."""
TRAINING_LIST = "train_list.txt"
"""Names of the lists that are for training, where LoFTR's index came with them."""
IMAGE_FOLDERS = ("Undistorted_SfM", "phoenix")
_LIST = re.compile(r"[0-9]{4}_[0-9]\.[0-9]+_[0-9]\.[0-9]+\.npz")
"""Scene, least and most overlap."""


@dataclass(frozen=True, eq=False)
class TrainingScene:
    """A list of pairs of one scene, with depth."""

    images: dict[int, Path]
    """By the number of the view; those alone that pairs name."""
    depths: dict[int, Path]
    intrinsics: dict[int, np.ndarray]
    """(3, 3) px, counted from the image's corner."""
    world_to_camera: dict[int, np.ndarray]
    """(4, 4)."""
    pairs: tuple[tuple[int, int], ...]


def read(folder: Path) -> list[Sample]:
    """All pairs, by scene and in the order of each list.

    Raises:
        InputError: no list is there, or one cannot be read.
    """
    need_folder(folder, "MegaDepth-1500")
    lists = _lists_among(_walked(folder))
    if not lists:
        raise InputError("no lists called 0015_0.1_0.3.npz and the like there", path=folder)
    return [sample for path in lists for sample in _samples(folder, path)]


def _samples(folder: Path, path: Path) -> list[Sample]:
    info = scene(path, "image_paths", "intrinsics", "poses", "pair_infos")
    samples = []
    try:
        for number, pair in enumerate(info["pair_infos"]):
            fixed, moving = (int(index) for index in pair[0])
            truth = pose_truth(
                as_matrix(info["intrinsics"][fixed], 3),
                as_matrix(info["intrinsics"][moving], 3),
                between(info["poses"][fixed], info["poses"][moving]),
            )
            here, there = (folder / str(info["image_paths"][index]) for index in (fixed, moving))
            samples.append(Sample(f"{path.stem}/{number:04d}", path.name[:4], here, there, truth))
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"is not a list of pairs as LoFTR writes them: {error}", path=path) from error
    return samples


def read_training(folder: Path) -> Iterator[TrainingScene]:
    """The lists for training, by name: those of `train_list.txt` where there is one, never those of `HELD_OUT`.

    Raises:
        InputError: no list is there, or one cannot be read or has no depth.
    """
    need_folder(folder, "MegaDepth")
    lists = _training_lists(folder)
    if not lists:
        raise InputError("no lists called 0000_0.1_0.3.npz and the like there", path=folder)
    root = _root(folder) or folder
    return (_training_scene(root, path) for path in lists)


def has_training(folder: Path) -> bool:
    """Whether a folder is laid out so: only one with the images is searched for lists."""
    return _root(folder) is not None and bool(_training_lists(folder))


def _root(folder: Path) -> Path | None:
    """Where image paths count from; None: the images are not there."""
    roots = (folder, folder / "train")
    return next((root for root in roots if any((root / name).is_dir() for name in IMAGE_FOLDERS)), None)


def _training_lists(folder: Path) -> list[Path]:
    files = list(_walked(folder))
    lists = [path for path in _lists_among(files) if path.name[:4] not in HELD_OUT]
    named = {name for path in files if lists and path.name == TRAINING_LIST for name in read_text(path).split()}
    return [path for path in lists if not named or path.stem in named]


def _training_scene(root: Path, path: Path) -> TrainingScene:
    info = scene(path, "image_paths", "depth_paths", "intrinsics", "poses", "pair_infos")
    try:
        pairs = tuple((int(pair[0][0]), int(pair[0][1])) for pair in info["pair_infos"])
        numbers = sorted({number for pair in pairs for number in pair})
        depths = {n: root / str(info["depth_paths"][n]) for n in numbers}
        return TrainingScene(
            {n: _image(root / str(info["image_paths"][n]), depths[n]) for n in numbers},
            depths,
            {n: as_matrix(info["intrinsics"][n], 3) for n in numbers},
            {n: as_matrix(info["poses"][n], 4) for n in numbers},
            pairs,
        )
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"is not a list of pairs as LoFTR writes them: {error}", path=path) from error


def _image(undistorted: Path, depth: Path) -> Path:
    own = depth.parent.parent / "imgs" / undistorted.name
    return own if not undistorted.is_file() and own.is_file() else undistorted


def _lists_among(files: Iterable[Path]) -> list[Path]:
    return sorted(path for path in files if _LIST.fullmatch(path.name))


def _walked(folder: Path) -> Iterator[Path]:
    """Files below a folder, links followed as LoFTR's instructions lay them, but not those of the images. No place is
    looked at twice: links may lead back."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name not in IMAGE_FOLDERS and not name.startswith(".")]
        yield from (Path(place, name) for name in names)


DATASET = DataSet(
    name="megadepth-1500",
    task="pose",
    layout="0015_0.1_0.3.npz ... 0022_0.5_0.7.npz (LoFTR's scene_info, in any folder) and Undistorted_SfM/",
    source="https://www.cs.cornell.edu/projects/megadepth/ and the lists of https://github.com/zju3dv/LoFTR",
    read=read,
)
