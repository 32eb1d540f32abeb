"""METU-VisTIR: visible and thermal photographs of six places with poses (Tuzcuoglu et al., XoFTR, CVPRW 2024).

`index/scene_info_test/<weather>_<weather>_scene_<n>.npz`, as `index/val_test_list/test_list.txt` names them, with
pair_infos (i, j), image_paths, intrinsics (3 x 3 of the original image) and distortion_coefs, each `[index][camera]`
with camera 0 visible and 1 thermal, and poses (world to camera) by index. Image i is of camera 0 and fixed, j of
camera 1 and moving, whatever kind of image their paths name.

The cameras were calibrated with OpenCV, whose first centre is (0, 0). Lenses distort: XoFTR and MINIMA match
resampled images, here the files are matched as they are and the correspondences undistorted.

Published numbers are means over the scenes of cloudy_cloudy and of cloudy_sunny, apart: hence the two parts.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from xmatch.datasets.files import natural, need_folder
from xmatch.datasets.posed import as_matrix, between, from_centre_intrinsics, pose_truth, scene
from xmatch.datasets.sample import DataSet, Sample
from xmatch.errors import InputError

SCENES = Path("index", "scene_info_test")
LIST = Path("index", "val_test_list", "test_list.txt")


def read(folder: Path, beginning: str = "") -> list[Sample]:
    """The test pairs of scenes whose name begins so, in the order of the list and of each scene.

    Raises:
        InputError: no such scene is there, or one cannot be read.
    """
    need_folder(folder, "METU-VisTIR")
    names = [name for name in _scenes(folder) if name.startswith(beginning)]
    if not names:
        raise InputError(f"no scenes called {beginning}... in {SCENES.as_posix()}", path=folder)
    return [sample for name in names for sample in _samples(folder, folder / SCENES / f"{name}.npz")]


def _scenes(folder: Path) -> list[str]:
    """As listed; all that are there where the list is missing."""
    if (folder / LIST).is_file():
        lines = (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.split()[0].removesuffix(".npz") for line in lines if line.strip()]
    return sorted((path.stem for path in (folder / SCENES).glob("*.npz")), key=natural)


def _samples(folder: Path, path: Path) -> list[Sample]:
    info = scene(path, "image_paths", "intrinsics", "distortion_coefs", "poses", "pair_infos")
    samples = []
    try:
        for number, (i, j) in enumerate(info["pair_infos"]):
            visible, thermal = (int(i), 0), (int(j), 1)  # (view, camera)
            fixed_k, moving_k = (from_centre_intrinsics(info["intrinsics"][at][c]) for at, c in (visible, thermal))
            fixed_bent, moving_bent = (_coefficients(info["distortion_coefs"][at][c]) for at, c in (visible, thermal))
            motion = as_matrix(between(info["poses"][visible[0]], info["poses"][thermal[0]]), 4)
            fixed, moving = (folder / str(info["image_paths"][at][c]) for at, c in (visible, thermal))
            truth = pose_truth(fixed_k, moving_k, motion, (fixed_bent, moving_bent))
            samples.append(Sample(f"{path.stem}/{number:04d}", path.stem, fixed, moving, truth))
    except (TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise InputError(f"is not a scene as XoFTR writes them: {error}", path=path) from error
    return samples


def _coefficients(values: object) -> np.ndarray:
    found = np.array(values, dtype=np.float64).ravel()
    if len(found) not in (4, 5, 8, 12, 14):
        raise ValueError(f"{len(found)} coefficients of distortion")
    return found


_LAYOUT = f"{SCENES.as_posix()}/<scene>.npz, {LIST.as_posix()} and the images that they name"
_SOURCE = "https://github.com/OnderT/XoFTR; CC BY-NC-SA 4.0, for measuring only"

DATASETS = (
    DataSet("metu-vistir", "pose", _LAYOUT, _SOURCE, read),
    DataSet("metu-vistir-cloudy", "pose", _LAYOUT, _SOURCE, partial(read, beginning="cloudy_cloudy")),
    DataSet("metu-vistir-sunny", "pose", _LAYOUT, _SOURCE, partial(read, beginning="cloudy_sunny")),
)
