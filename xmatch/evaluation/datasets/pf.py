"""PF-PASCAL and PF-WILLOW: objects of one category with keypoints (Ham et al., 2018), by the usual lists of test pairs.

PF-PASCAL: test_pairs.csv or test_pairs_pf_pascal.csv with source_image, target_image, class, XA, YA, XB, YB, the
numbers of a cell separated by semicolons. PF-WILLOW: test_pairs.csv or test_pairs_pf.csv with imageA, imageB, XA1 ...
XA10, YA1 ... XB1 ... YB10. Image A (source) is moving, B (target) fixed. Positions are MATLAB's, the first centre being
(1, 1), as the loader of NCNet (Rocco et al., 2018), which these lists come from, treats them.

PF-PASCAL's PCK is by the size of the target image, so there is no box. PF-WILLOW's is by the box around the keypoints.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmatch.coords import CENTRE
from xmatch.errors import InputError
from xmatch.evaluation.datasets.files import csv_rows, need_folder
from xmatch.evaluation.datasets.sample import DataSet, LandmarkTruth, Sample

WILLOW_POINTS = 10
_MATLAB_TO_CORNER = CENTRE - 1.0


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
        images = folder / row["target_image"], folder / row["source_image"]
        samples.append(Sample(f"{number:04d}", row["class"], *images, LandmarkTruth(fixed_xy, moving_xy)))
    return samples


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
        images = folder / row["imageB"], folder / row["imageA"]
        samples.append(Sample(f"{number:04d}", images[0].parent.name, *images, truth))
    return samples


def _list(folder: Path, name: str, usual: tuple[str, ...]) -> Path:
    need_folder(folder, name)
    found = [folder / file for file in usual if (folder / file).is_file()]
    if not found:
        raise InputError(f"no list of test pairs in the folder: want {' or '.join(usual)}", path=folder)
    return found[0]


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
