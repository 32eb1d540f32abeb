"""ScanNet-1500: pairs of frames of rooms with poses (Dai et al., 2017; the test list of SuperGlue, CVPR 2020).

SuperGlue's `scannet_test_pairs_with_gt.txt`: a row is name0 name1 rotation0 rotation1 K0 (9) K1 (9) T_0to1 (16), K of
the original frame (1296 x 968). Image 0 is fixed, 1 moving. Where the principal points count from is not documented;
as in OpenCV's calibration the first centre is taken as (0, 0). Frames are looked for below `scans_test` when that
folder is there. LoFTR's test.npz lists the same pairs by number, with intrinsics of frames resized to 640 x 480 and
without the relative poses: it is not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmatch.datasets.files import need_folder
from xmatch.datasets.posed import as_matrix, from_centre_intrinsics, pose_truth
from xmatch.datasets.sample import DataSet, Sample
from xmatch.errors import InputError

LIST = "scannet_test_pairs_with_gt.txt"


def read(folder: Path) -> list[Sample]:
    """All pairs, in the order of the list.

    Raises:
        InputError: there is no list, or a row of it cannot be read.
    """
    need_folder(folder, "ScanNet-1500")
    path = folder / LIST
    try:
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"no list of pairs: {error}", path=path) from error
    if not rows:
        raise InputError("lists no pairs", path=path)
    images = folder / "scans_test" if (folder / "scans_test").is_dir() else folder
    return [_sample(images, number, row, path) for number, row in enumerate(rows)]


def _sample(images: Path, number: int, row: list[str], path: Path) -> Sample:
    if len(row) != 38:
        raise InputError(
            f"row {number + 1} has {len(row)} words, want 38 (names, rotations, K0, K1, T_0to1)", path=path
        )
    try:
        values = np.array([float(word) for word in row[2:]])
    except ValueError as error:
        raise InputError(f"row {number + 1}: {error}", path=path) from error
    if values[:2].any():
        raise InputError(f"row {number + 1} wants an image turned by quarters, which is not supported", path=path)
    truth = pose_truth(
        from_centre_intrinsics(values[2:11]), from_centre_intrinsics(values[11:20]), as_matrix(values[20:36], 4)
    )
    group = next((part for part in Path(row[0]).parts if part.startswith("scene")), "scans")
    return Sample(f"{number:04d}", group, images / row[0], images / row[1], truth)


DATASET = DataSet(
    name="scannet-1500",
    task="pose",
    layout=f"{LIST} and the frames that it names, there or in scans_test/",
    source="http://www.scan-net.org (its terms must be signed); the list of SuperGlue's repository",
    read=read,
)
