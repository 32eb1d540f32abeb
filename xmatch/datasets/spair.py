"""SPair-71k: pairs of objects of one category with keypoints (Min et al., 2019).

`PairAnnotation/<split>/*.json` with src_imname, trg_imname, src_kps, trg_kps, src_bndbox, trg_bndbox and category; the
images are `JPEGImages/<category>/<name>`. Keypoints are transferred from the source (moving) to the target (fixed), and
PCK is measured by the target's box. The numbers are read as OpenCV's, the first centre being (0, 0), as published
evaluations use them; the authors do not say. Test pairs are read, or the split that the folder has alone; trainings
read `trn`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from xmatch.coords import from_centre_xy
from xmatch.datasets.files import natural, need_folder
from xmatch.datasets.sample import DataSet, LandmarkTruth, Sample
from xmatch.errors import InputError

ROOT = "PairAnnotation"
TRAINING = "trn"


def read(folder: Path) -> list[Sample]:
    """The pairs of the test split, by number.

    Raises:
        InputError: no annotation is there, or one cannot be read.
    """
    need_folder(folder, "SPair-71k")
    splits = [name for name in ("test", "val", TRAINING) if (folder / ROOT / name).is_dir()]
    return _split(folder, splits[0] if splits else "test")


def read_training(folder: Path) -> list[Sample]:
    """The pairs of the split `trn`, by number; errors as `read`."""
    need_folder(folder, "SPair-71k")
    return _split(folder, TRAINING)


def has_training(folder: Path) -> bool:
    return (folder / ROOT / TRAINING).is_dir()


def _split(folder: Path, name: str) -> list[Sample]:
    paths = sorted((folder / ROOT / name).glob("*.json"), key=lambda path: natural(path.name))
    if not paths:
        raise InputError(f"no annotations {name}/*.json there", path=folder / ROOT)
    return [_sample(folder, path) for path in paths]


def _sample(folder: Path, path: Path) -> Sample:
    try:
        pair = json.loads(path.read_text())
        category = pair["category"]
        fixed, moving = (folder / "JPEGImages" / category / pair[f"{side}_imname"] for side in ("trg", "src"))
        fixed_xy, moving_xy = (
            from_centre_xy(np.array(pair[f"{side}_kps"], dtype=float).reshape(-1, 2)) for side in ("trg", "src")
        )
        fixed_box, moving_box = (_box(pair[f"{side}_bndbox"]) for side in ("trg", "src"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"is not an annotation of SPair-71k: {error!r}", path=path) from error
    if len(fixed_xy) != len(moving_xy):
        raise InputError(f"has {len(moving_xy)} source and {len(fixed_xy)} target keypoints", path=path)
    truth = LandmarkTruth(fixed_xy, moving_xy, fixed_box, moving_box)
    return Sample(path.stem.replace(":", "_"), category, fixed, moving, truth)


def _box(values: list[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) for value in from_centre_xy(np.array(values, dtype=float)))
    return x0, y0, x1, y1


DATASET = DataSet(
    name="spair-71k",
    task="semantic",
    layout="PairAnnotation/test/*.json and JPEGImages/<category>/",
    source="https://cvlab.postech.ac.kr/research/SPair-71k/; research use",
    read=read,
)
