"""MegaDepth-1500: photographs of two places with poses (Li and Snavely, 2018; the test list of LoFTR, CVPR 2021).

LoFTR's lists: `<scene>_<low>_<high>.npz` (0015_0.1_0.3.npz ... 0022_0.5_0.7.npz) with image_paths, intrinsics (3 x 3 of
the original image), poses (world to camera) and pair_infos, whose entries are ((i, j), overlap, matches). Image paths
count from the folder that holds `Undistorted_SfM`. Image i is fixed, j moving.

The poses come from COLMAP, whose first pixel centre is (0.5, 0.5): the intrinsics are ours as they stand. Photographs
are up to a few thousand px; published results resize them, and scale the intrinsics with them.
"""

from __future__ import annotations

from pathlib import Path

from xmatch.errors import InputError
from xmatch.evaluation.datasets.files import need_folder
from xmatch.evaluation.datasets.posed import as_matrix, between, pose_truth, scene
from xmatch.evaluation.datasets.sample import DataSet, Sample


def read(folder: Path) -> list[Sample]:
    """All pairs, by scene and in the order of each list.

    Raises:
        InputError: no list is there, or one cannot be read.
    """
    need_folder(folder, "MegaDepth-1500")
    lists = sorted(path for path in folder.rglob("*.npz") if path.name[:4].isdigit() and path.name[4:5] in "_.")
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


DATASET = DataSet(
    name="megadepth-1500",
    task="pose",
    layout="0015_0.1_0.3.npz ... 0022_0.5_0.7.npz (LoFTR's scene_info, in any folder) and Undistorted_SfM/",
    source="https://www.cs.cornell.edu/projects/megadepth/ and the lists of https://github.com/zju3dv/LoFTR",
    read=read,
)
