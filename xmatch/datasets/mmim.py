"""The multi-modality image matching database of Jiang et al. (A review of multimodal image matching, 2021).

Per pair a MATLAB file and two images, in folders like RemoteSensing/SAR_Optical. `T` in the MATLAB file is made for
row vectors, [x y 1] T, and counts the first pixel's centre as (1, 1): it is transposed and shifted here, as MINIMA's
evaluation does. It maps the second image (moving) to the first (fixed).

Names differ from folder to folder (SO1.mat, SO1a.png, SO1b.png; MRI_PET_1.mat, MRI_1.png, PET_1.png; Retina_24.mat,
RetinaFix_24.png, RetinaMove_24.png): a pair is made of the images in the folder that end in the same number, the first
by name being the first image. Where a folder has the `list.json` of MINIMA's copy ({"name": [mat, first, second]}),
that decides. For SPECT_CT the order by name (CT first) could not be checked against the images.

Pairs without `T` have landmarks only (those that no affine map fits), and a few lack their images: they are left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from xmatch.coords import from_centre_matrix
from xmatch.datasets.files import IMAGE_SUFFIXES, natural, need_folder, projective
from xmatch.datasets.sample import DataSet, Sample, TransformTruth
from xmatch.errors import InputError
from xmatch.geometry import Transform

_TO_ZERO = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])
"""Positions from MATLAB's (1, 1) to (0, 0) for the first centre."""


def read(folder: Path) -> list[Sample]:
    """All pairs with an affine truth, by folder and number.

    Raises:
        InputError: no such pair is there, or a file of truth cannot be read.
    """
    need_folder(folder, "the multi-modality image matching database")
    inside = folder / "Multimodal_Image_Matching_Datasets"
    root = inside if inside.is_dir() else folder
    places = sorted({path.parent for path in root.rglob("*.mat")}, key=lambda place: natural(place.as_posix()))
    samples = [
        Sample(f"{group}/{mat.stem}", group, first, second, TransformTruth(truth))
        for place in places
        for group in [place.relative_to(root).as_posix()]
        for mat, first, second in _pairs(place)
        if (truth := _truth(mat)) is not None
    ]
    if not samples:
        raise InputError("no .mat file with a matrix T beside two images with its number", path=root)
    return samples


def _pairs(place: Path) -> list[tuple[Path, Path, Path]]:
    """(truth, first image, second image) of every pair in a folder."""
    listed = place / "list.json"
    if listed.is_file():
        try:
            rows = [names[:3] for names in json.loads(listed.read_text()).values()]
            return [(place / truth, place / first, place / second) for truth, first, second in rows]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"not a list of pairs: {error}", path=listed) from error
    images: dict[str, list[Path]] = {}
    for path in sorted(place.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(_number(path), []).append(path)
    mats = sorted(place.glob("*.mat"), key=lambda path: natural(path.name))
    found = [(mat, images.get(_number(mat), [])) for mat in mats]
    return [(mat, both[0], both[1]) for mat, both in found if len(both) == 2]


def _number(path: Path) -> str:
    return (re.findall(r"\d+", path.stem) or [""])[-1]


def _truth(path: Path) -> Transform | None:
    """Second image -> first image; None without `T`."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise InputError(f"cannot be read as a MATLAB file: {error}", path=path) from error
    if "T" not in content:
        return None
    matrix = np.asarray(content["T"])
    if matrix.shape != (3, 3) or matrix.dtype.kind not in "fiu":
        raise InputError(f"T is not a 3 x 3 matrix but {matrix.dtype} of shape {matrix.shape}", path=path)
    return projective(from_centre_matrix(_TO_ZERO @ matrix.T @ np.linalg.inv(_TO_ZERO)), path)


DATASET = DataSet(
    name="mmim",
    task="registration",
    layout="<field>/<modalities>/ with .mat files and two images each, as in Multimodal_Image_Matching_Datasets/",
    source="https://github.com/StaRainJ/Multi-modality-image-matching-database-metrics-methods; no licence is stated",
    read=read,
)
