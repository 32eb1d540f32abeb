"""MegaDepth-1500 and ScanNet-1500: tiny copies of their lists become poses with corner-counted intrinsics."""

from __future__ import annotations

import numpy as np
import pytest

from xmatch.datasets import megadepth, scannet
from xmatch.errors import InputError

K = np.array([[100.0, 0.0, 32.0], [0.0, 100.0, 24.0], [0.0, 0.0, 1.0]])
QUARTER = np.array([[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]])


def test_megadepth_relates_two_world_to_camera_poses_and_keeps_the_counting(tmp_path):
    pairs = np.empty(1, dtype=object)
    pairs[0] = ((1, 0), 0.4, np.zeros((2, 4)))
    names = np.array(["Undistorted_SfM/0015/a.jpg", "Undistorted_SfM/0015/b.jpg"], dtype=object)
    np.savez(
        tmp_path / "0015_0.1_0.3.npz",
        **{"image_paths": names, "intrinsics": np.stack([K, 2 * K]), "poses": np.stack([QUARTER, np.eye(4)])},
        pair_infos=pairs,
    )
    (sample,) = megadepth.DATASET.read(tmp_path)
    assert (sample.id, sample.group) == ("0015_0.1_0.3/0000", "0015")
    assert sample.fixed == tmp_path / "Undistorted_SfM/0015/b.jpg"
    np.testing.assert_array_equal(sample.truth.moving_intrinsics, K)
    np.testing.assert_allclose(sample.truth.rotation, QUARTER[:3, :3])
    np.testing.assert_allclose(sample.truth.translation, [1, 2, 3])


def test_megadepth_names_the_array_that_lacks(tmp_path):
    np.savez(tmp_path / "0015_0.1_0.3.npz", image_paths=np.array(["a"]))
    with pytest.raises(InputError, match="lacks the arrays intrinsics, poses, pair_infos"):
        megadepth.DATASET.read(tmp_path)


def write_scannet(root, turn="0"):
    numbers = np.concatenate([K.ravel(), K.ravel(), QUARTER.ravel()])
    names = "scene0707_00/color/15.jpg scene0707_00/color/585.jpg"
    (root / scannet.LIST).write_text(f"{names} 0 {turn} {' '.join(map(str, numbers))}\n")


def test_scannet_principal_points_move_by_half_a_pixel(tmp_path):
    write_scannet(tmp_path)
    (sample,) = scannet.DATASET.read(tmp_path)
    assert (sample.id, sample.group) == ("0000", "scene0707_00")
    assert sample.moving == tmp_path / "scene0707_00/color/585.jpg"
    np.testing.assert_array_equal(sample.truth.fixed_intrinsics[:, 2], [32.5, 24.5, 1.0])
    np.testing.assert_array_equal(sample.truth.translation, [1, 2, 3])


def test_scannet_turned_images_are_refused(tmp_path):
    write_scannet(tmp_path, turn="1")
    with pytest.raises(InputError, match="turned"):
        scannet.DATASET.read(tmp_path)


@pytest.mark.parametrize("dataset", [megadepth.DATASET, scannet.DATASET])
def test_an_empty_folder_is_none_of_them(dataset, tmp_path):
    with pytest.raises(InputError):
        dataset.read(tmp_path)
