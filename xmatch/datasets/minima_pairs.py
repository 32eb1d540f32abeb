"""DIODE (photographs and depth) and DSEC (photographs and events) as MINIMA pairs them (Ren et al., CVPR 2025).

Both images of an aligned pair are resized to 640 x 480, and one is warped by a chance homography: a window of 80 % of
the image is shrunk or stretched in perspective by up to 5 %, scaled by up to 5 %, shifted as far as it fits, turned by
up to 10 degrees. Every pair is measured twice, either image being warped (and moving) once.

The draw is MINIMA's own, seeded by SHA-256 of a path as it was spelled, so that its numbers hang on the folder in which
the test ran. Here the path starts below the data set's folder: alike on every machine, and not the published warps.

- DIODE: `val_outdoor.csv` names the photographs in `outdoor/`. MINIMA looks for pictures of depth of the same names in
  `outdoor_depth/`, which DIODE does not have; where they are missing, its own `..._depth.npy` beside the photograph is
  drawn in grey. The seed is the photograph's path, or the one that the picture of depth has or would have.
- DSEC: `vent_list.txt` (or `event_list.txt`) names photographs `<drive>/images/...`; events: `<drive>/events/...`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from xmatch.coords import from_centre_matrix
from xmatch.datasets.files import need_folder
from xmatch.datasets.sample import DataSet, Sample, TransformTruth, Warp
from xmatch.errors import InputError
from xmatch.geometry import homography
from xmatch.metrics import minima_path_seed

SIZE = (640, 480)
"""(width, height) px that MINIMA's evaluation resizes both images to."""
PATCH = 0.8
"""Side of the window, share of the image."""
PERSPECTIVE, SCALING = 0.05, 0.05
"""Most; drawn from normals that are cut at two deviations."""
SCALES, ANGLES = 5, 25
"""Tried, of which one that keeps the window inside is taken."""
MAX_ANGLE_DEG = 10.0
"""As in MINIMA's evaluation, like all numbers above."""


def read_diode(folder: Path) -> list[Sample]:
    """Two pairs a photograph, in the order of the list, or by path without one. The moving image is the warped one.

    Raises:
        InputError: there is neither a list nor `outdoor/`.
    """
    need_folder(folder, "DIODE")
    root = folder if (folder / "outdoor").is_dir() or not (folder / "val").is_dir() else folder / "val"
    lists = [place / "val_outdoor.csv" for place in (root, folder) if (place / "val_outdoor.csv").is_file()]
    if lists:
        try:
            rows = list(csv.reader(lists[0].read_text(encoding="utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot be read as CSV: {error}", path=lists[0]) from error
        names = [row[0].removeprefix("./") for row in rows if row]
    else:
        names = sorted(path.relative_to(root).as_posix() for path in (root / "outdoor").rglob("*.png"))
    # Some copies of the list count from the folder above.
    names = [name[name.index("outdoor/") :] for name in names if "outdoor/" in name]
    if not names:
        raise InputError("neither val_outdoor.csv nor photographs in outdoor/ there", path=folder)
    pairs = [(name, name.replace("outdoor/", "outdoor_depth/", 1)) for name in names]
    return [sample for pair in pairs for sample in _both_ways(root, pair, "depth")]


def read_dsec(folder: Path) -> list[Sample]:
    """Two pairs a photograph, in the order of the list. The moving image is the warped one.

    Raises:
        InputError: there is no list.
    """
    need_folder(folder, "DSEC as MINIMA prepared it")
    found = [folder / name for name in ("vent_list.txt", "event_list.txt") if (folder / name).is_file()]
    if not found:
        raise InputError("no vent_list.txt there", path=folder)
    try:
        names = [line.strip() for line in found[0].read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"is no list of paths: {error}", path=found[0]) from error
    odd = [name for name in names if "images" not in name]
    if odd or not names:
        raise InputError(f"want paths with images in them; found {odd[0] if odd else 'none'}", path=found[0])
    pairs = [(name, name.replace("images", "events")) for name in names]
    return [sample for pair in pairs for sample in _both_ways(folder, pair, "event")]


def _both_ways(root: Path, pair: tuple[str, str], other: str) -> list[Sample]:
    """The pair with its second image warped, and with its first; each seeded by the path that the test names first."""
    photograph = Path(pair[0]).with_suffix("").as_posix()
    return [
        _sample(
            root, f"{photograph}/{other}-warped", fixed=pair[0], moving=pair[1], seed=pair[0 if other == "depth" else 1]
        ),
        _sample(
            root, f"{photograph}/rgb-warped", fixed=pair[1], moving=pair[0], seed=pair[1 if other == "depth" else 0]
        ),
    ]


def _sample(root: Path, name: str, fixed: str, moving: str, seed: str) -> Sample:
    matrix = from_centre_matrix(chance_homography(minima_path_seed(seed), *SIZE))
    warp = Warp(SIZE, tuple(tuple(row) for row in matrix.tolist()))
    truth = TransformTruth(homography(np.linalg.inv(matrix)))
    return Sample(name, name.rpartition("/")[2], _file(root, fixed), _file(root, moving), truth, warp=warp)


def _file(root: Path, name: str) -> Path:
    """The picture of that name, or DIODE's depth map where only that is there."""
    depth = root / name.replace("outdoor_depth/", "outdoor/", 1)
    depth = depth.with_name(f"{depth.stem}_depth.npy")
    drawn = name.startswith("outdoor_depth/") and not (root / name).is_file() and depth.is_file()
    return depth if drawn else root / name


def chance_homography(seed: int, width: int, height: int) -> np.ndarray:
    """(3, 3) aligned px -> warped px, first centre at (0, 0): SuperPoint's draw (DeTone et al. 2018) as MINIMA sets it.

    A window in the middle of the unit square is bent, scaled, shifted and turned without leaving the square; the
    map takes the bent window onto the middle one. Numbers come in MINIMA's order from one legacy generator.
    """
    import cv2
    from scipy.stats import truncnorm

    draws = np.random.RandomState(seed)
    margin = (1 - PATCH) / 2
    middle = margin + PATCH * np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    amplitude = min(PERSPECTIVE, margin) / 2
    up, left, right = (truncnorm(-2, 2, scale=amplitude).rvs(1, random_state=draws)[0] for _ in range(3))
    bent = middle + np.array([[left, up], [left, -up], [right, up], [right, -up]])

    deviation = SCALING / 2
    scales = truncnorm(-2, 2, loc=1, scale=deviation).rvs(SCALES, random_state=draws)
    centre = bent.mean(axis=0)
    bent = _one_inside((bent - centre) * np.append(1.0, scales)[:, None, None] + centre, draws)

    lowest, highest = -bent.min(axis=0), (1 - bent).min(axis=0)
    bent = bent + [draws.uniform(low, high, 1)[0] for low, high in zip(lowest, highest, strict=True)]

    angles = np.radians(np.append(0.0, np.linspace(-MAX_ANGLE_DEG, MAX_ANGLE_DEG, ANGLES)))
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=1).reshape(-1, 2, 2)
    centre = bent.mean(axis=0)
    bent = _one_inside((bent - centre) @ turns + centre, draws)

    here, there = ((window * (width, height)).astype(np.float32) for window in (middle, bent))
    return np.linalg.inv(cv2.getPerspectiveTransform(here, there))


def _one_inside(windows: np.ndarray, draws: np.random.RandomState) -> np.ndarray:
    """One of (K, 4, 2) that lies in the unit square."""
    inside = np.flatnonzero(((windows >= 0) & (windows < 1)).all(axis=(1, 2)))
    return windows[inside[draws.randint(len(inside), size=1)[0]]]


DIODE = DataSet(
    name="diode",
    task="homography",
    layout="outdoor/**/*.png and *_depth.npy (or pictures in outdoor_depth/), val_outdoor.csv; or val/ that holds them",
    source="https://diode-dataset.org (val.tar.gz and the lists of its devkit; MIT)",
    read=read_diode,
)
DSEC = DataSet(
    name="dsec",
    task="homography",
    layout="vent_list.txt, <drive>/images/... and <drive>/events/... as it names them",
    source="https://dsec.ifi.uzh.ch (CC BY-SA 4.0), prepared by https://github.com/LSXI7/MINIMA",
    read=read_dsec,
)
