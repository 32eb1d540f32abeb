"""SRIF: 200 pairs of each of six modalities (Li, Hu, Zhang, ISPRS Journal 204, 2023), as published.

`dataset/<modality>/pair{i}_1.jpg`, `pair{i}_2.jpg`, `gt_{i}.txt` with i from 1 to 200. The text is the upper 2 x 3 of
a map from image 1 to image 2. Image 1 is fixed and image 2 moving, so the truth is the inverse.

Positions: the authors do not say where they count from. The turned images of Infrared, Depth and Nighttime are turned
about exactly (width / 2, height / 2), so the numbers count from the first pixel's corner, as we do. Taken as
OpenCV's (first centre at (0, 0)) they are half a pixel off, which at a quarter turn moves everything by 1 px.

What to know before quoting numbers:

- Image 2 of most pairs was turned inside its own canvas: its black border repeats the answer.
- In Optical-Map the published truth of all 200 pairs is the identity, so that not moving at all scores 100 there.
- In Optical-SAR the published truth is wrong: its angle does not fit in 195 of 200 pairs, and every method scores
  about 0. `srif` leaves this modality out, `srif-published` has it.
- The rest is good to about 1 to 2 px, in Optical-Depth and Nighttime less.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from xmatch.datasets.files import image_of, need_folder, numbers, projective
from xmatch.datasets.sample import DataSet, Sample, TransformTruth
from xmatch.errors import InputError

MODALITIES = ("Nighttime", "Optical-Depth", "Optical-Infrared", "Optical-Map", "Optical-Optical", "Optical-SAR")

WRONG = ("Optical-SAR",)
"""Modalities whose published truth does not fit the images."""


def read(folder: Path, without: tuple[str, ...] = WRONG) -> list[Sample]:
    """The pairs, by modality and number; the folder is `dataset`, or the one that holds it.

    Raises:
        InputError: no modality is there, or a truth file cannot be read.
    """
    need_folder(folder, "SRIF")
    root = folder / "dataset" if (folder / "dataset").is_dir() else folder
    modalities = [name for name in MODALITIES if name not in without]
    samples = [_sample(root / name, number) for name in modalities for number in _pair_numbers(root / name)]
    if not samples:
        raise InputError(
            f"no gt_1.txt, gt_2.txt, ... in a folder called like a modality ({', '.join(modalities)})", path=root
        )
    return samples


def _pair_numbers(folder: Path) -> list[int]:
    found = (re.fullmatch(r"gt_(\d+)\.txt", path.name) for path in folder.glob("gt_*.txt"))
    return sorted(int(match[1]) for match in found if match)


def _sample(folder: Path, number: int) -> Sample:
    path = folder / f"gt_{number}.txt"
    fixed_to_moving = np.vstack([numbers(path, columns=3, rows=2), (0.0, 0.0, 1.0)])
    return Sample(
        id=f"{folder.name}/{number:03d}",
        group=folder.name,
        fixed=image_of(folder, f"pair{number}_1", ".jpg"),
        moving=image_of(folder, f"pair{number}_2", ".jpg"),
        truth=TransformTruth(projective(fixed_to_moving, path).inverse),
    )


_LAYOUT = "dataset/<modality>/pair{i}_1.jpg, pair{i}_2.jpg, gt_{i}.txt, for the modalities " + ", ".join(MODALITIES)
_SOURCE = "https://github.com/LJY-RS/SRIF; no licence is stated"

DATASETS = (
    DataSet("srif", "registration", _LAYOUT, _SOURCE, read),
    DataSet("srif-published", "registration", _LAYOUT, _SOURCE, partial(read, without=())),
)
