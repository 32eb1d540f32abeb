"""PF-PASCAL and PF-WILLOW: objects of one category with keypoints (Ham et al., 2018), by the usual lists of test pairs.

PF-PASCAL: test_pairs.csv or test_pairs_pf_pascal.csv with source_image, target_image, class, XA, YA, XB, YB, the
numbers of a cell separated by semicolons. PF-WILLOW: test_pairs.csv or test_pairs_pf.csv with imageA, imageB, XA1 ...
XA10, YA1 ... XB1 ... YB10. Image A (source) is moving, B (target) fixed. Positions are MATLAB's, the first centre being
(1, 1), as the loader of NCNet (Rocco et al., 2018), which these lists come from, treats them.

PF-PASCAL's PCK is by the size of the target image, so there is no box. PF-WILLOW's is by the box around the keypoints.

Training pairs of PF-PASCAL: train_pairs_pf_pascal.csv or trn_pairs.csv with source_image, target_image, class and flip,
and no points: those are `kps` of Annotations/<category>/<image>.mat, a row a part, NaN where the image lacks it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmatch.coords import CENTRE
from xmatch.datasets.files import csv_rows, need_folder
from xmatch.datasets.sample import DataSet, LandmarkTruth, Sample
from xmatch.errors import InputError

WILLOW_POINTS = 10
"""Keypoints of each image of PF-WILLOW."""
_MATLAB_TO_CORNER = CENTRE - 1.0
"""The lists count from 1, as MATLAB does."""
TRAINING_LISTS = ("train_pairs_pf_pascal.csv", "trn_pairs.csv")
CATEGORIES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Of PASCAL VOC, in the order that the lists number them in, from 1."""


def read_pascal(folder: Path) -> list[Sample]:
    """The test pairs of PF-PASCAL, in the order of the list.

    Raises:
        InputError: there is no list, or a row of it cannot be read.
    """
    path = _list(folder, "PF-PASCAL", ("test_pairs_pf_pascal.csv", "test_pairs.csv"))
    columns = ("source_image", "target_image", "class", "XA", "YA", "XB", "YB")
    samples = []
    for number, row in enumerate(csv_rows(path, columns)):
        moving_xy, fixed_xy = (
            _xy(row[f"X{side}"].split(";"), row[f"Y{side}"].split(";"), path, number) for side in "AB"
        )
        if len(moving_xy) != len(fixed_xy):
            raise InputError(f"row {number + 1} has {len(moving_xy)} points in A, {len(fixed_xy)} in B", path=path)
        images = _image(folder, row["target_image"]), _image(folder, row["source_image"])
        samples.append(Sample(f"{number:04d}", row["class"], *images, LandmarkTruth(fixed_xy, moving_xy)))
    return samples


def read_pascal_training(folder: Path) -> list[Sample]:
    """The training pairs of PF-PASCAL, in the order of the list; those that it asks for mirrored as well are left out,
    and pairs without a part that both show.

    Raises:
        InputError: there is no list, or a row of it or its annotations cannot be read.
    """
    path = _list(folder, "PF-PASCAL", TRAINING_LISTS)
    samples = []
    for number, row in enumerate(csv_rows(path, ("source_image", "target_image", "class"))):
        if row.get("flip", "0").strip() not in ("0", ""):
            continue
        category = _category(row["class"], path, number)
        fixed, moving = (_image(folder, row[f"{side}_image"]) for side in ("target", "source"))
        fixed_xy, moving_xy = (_annotated(folder, category, image.stem) for image in (fixed, moving))
        if len(fixed_xy) != len(moving_xy):
            raise InputError(f"row {number + 1}: {len(moving_xy)} parts in A, {len(fixed_xy)} in B", path=path)
        both = np.isfinite(fixed_xy).all(1) & np.isfinite(moving_xy).all(1)
        if both.any():
            truth = LandmarkTruth(fixed_xy[both], moving_xy[both])
            samples.append(Sample(f"{number:04d}", category, fixed, moving, truth))
    return samples


def has_training(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TRAINING_LISTS)


def read_willow(folder: Path) -> list[Sample]:
    """The test pairs of PF-WILLOW, in the order of the list.

    Raises:
        InputError: there is no list, or a row of it cannot be read.
    """
    path = _list(folder, "PF-WILLOW", ("test_pairs_pf.csv", "test_pairs.csv"))
    indices = range(1, WILLOW_POINTS + 1)
    columns = ("imageA", "imageB", *(f"{axis}{side}{i}" for side in "AB" for axis in "XY" for i in indices))
    samples = []
    for number, row in enumerate(csv_rows(path, columns)):
        moving_xy, fixed_xy = (
            _xy([row[f"X{side}{i}"] for i in indices], [row[f"Y{side}{i}"] for i in indices], path, number)
            for side in "AB"
        )
        truth = LandmarkTruth(fixed_xy, moving_xy, _box(fixed_xy), _box(moving_xy))
        images = _image(folder, row["imageB"]), _image(folder, row["imageA"])
        samples.append(Sample(f"{number:04d}", images[0].parent.name, *images, truth))
    return samples


def _list(folder: Path, name: str, usual: tuple[str, ...]) -> Path:
    need_folder(folder, name)
    found = [folder / file for file in usual if (folder / file).is_file()]
    if not found:
        raise InputError(f"no list of pairs in the folder: want {' or '.join(usual)}", path=folder)
    return found[0]


def _image(folder: Path, name: str) -> Path:
    """An image that a list names: below the folder, or beside it where the list was put among the images; lists name
    the folder that is published."""
    places = folder / name, folder.parent / name, folder / "JPEGImages" / Path(name).name
    return next((place for place in places if place.is_file()), places[0])


def _category(number: str, path: Path, row: int) -> str:
    try:
        return CATEGORIES[range(1, len(CATEGORIES) + 1).index(int(number))]
    except ValueError:
        raise InputError(f"row {row + 1}: class {number} is none of 1 to {len(CATEGORIES)}", path=path) from None


def _annotated(folder: Path, category: str, stem: str) -> np.ndarray:
    """(N, 2) px of all parts of the category, NaN where the image lacks them."""
    from scipy.io import loadmat

    below = Path("Annotations", category, f"{stem}.mat")
    path = next((p for p in (folder / below, *folder.glob(f"*/{below}")) if p.is_file()), folder / below)
    try:
        return np.asarray(loadmat(path)["kps"], dtype=np.float64).reshape(-1, 2) + _MATLAB_TO_CORNER
    except Exception as error:  # a damaged .mat can raise anything; none of it is xmatch's fault
        raise InputError(f"is no annotation of PF-PASCAL: {error!r}", path=path) from error


def _xy(xs: list[str], ys: list[str], path: Path, number: int) -> np.ndarray:
    try:
        return np.array([xs, ys], dtype=np.float64).T + _MATLAB_TO_CORNER
    except ValueError as error:
        raise InputError(f"row {number + 1}: not as many numbers in X as in Y: {error}", path=path) from error


def _box(xy: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0 = xy.min(axis=0)
    x1, y1 = xy.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


DATASETS = (
    DataSet(
        name="pf-pascal",
        task="semantic",
        layout="test_pairs_pf_pascal.csv (or test_pairs.csv), and the images that it names, below the same folder",
        source="https://www.di.ens.fr/willow/research/proposalflow/; the list comes with NCNet",
        read=read_pascal,
    ),
    DataSet(
        name="pf-willow",
        task="semantic",
        layout="test_pairs_pf.csv (or test_pairs.csv), and the images that it names, below the same folder",
        source="https://www.di.ens.fr/willow/research/proposalflow/; the list comes with WeakAlign",
        read=read_willow,
    ),
)
