"""FIRE: 134 pairs of retina photographs with ten control points each (Hernandez-Matas et al., 2017).

`Images/A01_1.jpg`, `A01_2.jpg` and `Ground Truth/control_points_A01_1_2.txt`, whose rows are x1 y1 x2 y2. Categories: S
(large overlap), P (small overlap), A (changes of the retina). Image 1 is fixed, as in published evaluations. The
authors do not say where they count from; published evaluations take the numbers as OpenCV's, the first pixel's centre
being (0, 0), and so does this reader. They also leave out P37, whose points do not fit: so 133 pairs are read.
"""

from __future__ import annotations

import re
from pathlib import Path

from xmatch.coords import from_centre_xy
from xmatch.datasets.files import image_of, natural, need_folder, numbers
from xmatch.datasets.sample import DataSet, LandmarkTruth, Sample
from xmatch.errors import InputError

WRONG = ("P37",)
"""Pairs whose published points are wrong (SuperRetina, ECCV 2022, and evaluations since)."""


def read(folder: Path) -> list[Sample]:
    """The pairs, by name: A01 ... P01 ... S71.

    Raises:
        InputError: no control points are there, or cannot be read.
    """
    need_folder(folder, "FIRE")
    points = folder / "Ground Truth"
    named = {
        match[1]: path
        for path in points.glob("control_points_*.txt")
        if (match := re.fullmatch(r"control_points_([APS]\d+)_1_2\.txt", path.name))
    }
    if not named:
        raise InputError("no files control_points_..._1_2.txt there", path=points)
    return [_sample(folder, name, named[name]) for name in sorted(named, key=natural) if name not in WRONG]


def _sample(folder: Path, name: str, path: Path) -> Sample:
    xy = from_centre_xy(numbers(path, columns=4))
    images = folder / "Images"
    return Sample(
        id=name,
        group=name[0],
        fixed=image_of(images, f"{name}_1", ".jpg"),
        moving=image_of(images, f"{name}_2", ".jpg"),
        truth=LandmarkTruth(fixed_xy=xy[:, :2], moving_xy=xy[:, 2:]),
    )


DATASET = DataSet(
    name="fire",
    task="landmarks",
    layout="Images/<pair>_1.jpg, <pair>_2.jpg and Ground Truth/control_points_<pair>_1_2.txt",
    source="https://projects.ics.forth.gr/cvrl/fire/; academic use",
    read=read,
)
