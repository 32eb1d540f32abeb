"""SRIF, MMIM, OSdataset and HPatches: tiny copies of their layouts become pairs with corner-counted truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

from xmatch.datasets import load_dataset
from xmatch.errors import InputError

TURN = np.array([[0.0, -1.0, 9.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""A quarter turn of an image of 10 px about its middle, positions counted from the first centre as (0, 0)."""

FIRST, TURNED = np.array([[0.5, 0.5]]), np.array([[9.5, 0.5]])
"""The first pixel and where `TURN` takes it, as we count."""


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_srif(root, modality, *numbers, truth=TURN[:2]):
    for n in numbers:
        touch(root / modality / f"pair{n}_1.jpg", root / modality / f"pair{n}_2.jpg")
        np.savetxt(root / modality / f"gt_{n}.txt", truth, fmt="%16.7e")


def test_srif_pairs_are_listed_by_modality_and_number(tmp_path):
    write_srif(tmp_path / "dataset", "Optical-Map", 10, 2)
    write_srif(tmp_path / "dataset", "Nighttime", 1)
    samples = load_dataset("srif").read(tmp_path)
    assert [s.id for s in samples] == ["Nighttime/001", "Optical-Map/002", "Optical-Map/010"]
    assert [s.group for s in samples] == ["Nighttime", "Optical-Map", "Optical-Map"]
    assert samples[0].fixed.name == "pair1_1.jpg" and samples[0].moving.name == "pair1_2.jpg"


def test_srif_image_2_moves_onto_image_1_by_the_inverse_of_the_text_and_about_the_middle(tmp_path):
    """As in Nighttime: images of 320 x 256 px, turned about their middle; the numbers are of such a truth."""
    turn = np.array([[8.9879405e-01, 4.3837115e-01, -3.9918554e01], [-4.3837115e-01, 8.9879405e-01, 8.3093746e01]])
    write_srif(tmp_path, "Nighttime", 1, truth=turn)
    (sample,) = load_dataset("srif").read(tmp_path)
    middle = np.array([[160.0, 128.0]])
    np.testing.assert_allclose(sample.truth.transform(middle), middle, atol=1e-4)
    there = middle @ turn[:, :2].T + turn[:, 2] + np.array([[turn[0, 0], turn[1, 0]]])
    np.testing.assert_allclose(sample.truth.transform(there), middle + [[1.0, 0.0]], atol=1e-4)


def test_srif_is_without_the_modality_whose_truth_is_wrong_unless_asked_as_published(tmp_path):
    write_srif(tmp_path, "Optical-SAR", 4)
    write_srif(tmp_path, "Nighttime", 4)
    assert [s.group for s in load_dataset("srif").read(tmp_path)] == ["Nighttime"]
    assert [s.group for s in load_dataset("srif-published").read(tmp_path)] == ["Nighttime", "Optical-SAR"]


def test_srif_reads_the_folder_of_modalities_too_and_lists_pairs_whose_images_lack(tmp_path):
    write_srif(tmp_path, "Optical-Map", 7)
    (tmp_path / "Optical-Map" / "pair7_2.jpg").unlink()
    (sample,) = load_dataset("srif").read(tmp_path)
    assert sample.moving == tmp_path / "Optical-Map" / "pair7_2.jpg" and not sample.moving.exists()


def test_srif_truth_that_is_no_map_is_refused(tmp_path):
    write_srif(tmp_path, "Optical-Map", 7)
    (tmp_path / "Optical-Map" / "gt_7.txt").write_text("1 0 0\n")
    with pytest.raises(InputError, match="2 rows of 3") as caught:
        load_dataset("srif").read(tmp_path)
    assert caught.value.path.endswith("gt_7.txt")


def write_mat(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, content)


def matlab(matrix):
    """For row vectors, the first centre at (1, 1)."""
    shift = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    return (shift @ matrix @ np.linalg.inv(shift)).T


def test_mmim_is_one_based_and_transposed(tmp_path):
    folder = tmp_path / "RemoteSensing" / "SAR_Optical"
    write_mat(folder / "SO1.mat", T=matlab(TURN) * 2)
    touch(folder / "SO1a.png", folder / "SO1b.png")
    (sample,) = load_dataset("mmim").read(tmp_path)
    assert (sample.id, sample.group) == ("RemoteSensing/SAR_Optical/SO1", "RemoteSensing/SAR_Optical")
    assert (sample.fixed.name, sample.moving.name) == ("SO1a.png", "SO1b.png")
    np.testing.assert_allclose(sample.truth.transform(FIRST), TURNED, atol=1e-12)


@pytest.mark.parametrize(
    ("mat", "fixed", "moving"),
    [
        ("Medical/MR_PET/MRI_PET_10", "MRI_10.png", "PET_10.png"),
        ("Medical/PD_T1/pd_t1_10", "pd_10.png", "t1_10.png"),
        ("Medical/Retina/Retina_24", "RetinaFix_24.png", "RetinaMove_24.png"),
        ("ComputerVision/VIS_IR/VisionVI0", "VisionVI_0a.png", "VisionVI_0b.png"),
    ],
)
def test_mmim_pairs_are_found_whatever_the_folder_calls_them(tmp_path, mat, fixed, moving):
    root = tmp_path / "Multimodal_Image_Matching_Datasets"
    write_mat(root / f"{mat}.mat", T=np.eye(3))
    place = (root / mat).parent
    touch(place / fixed, place / moving, place / "other_1.png", place / "other_2.png")
    (sample,) = load_dataset("mmim").read(tmp_path)
    assert (sample.id, sample.fixed, sample.moving) == (mat, place / fixed, place / moving)


def test_mmim_a_list_beside_the_files_decides(tmp_path):
    write_mat(tmp_path / "CT" / "x_1.mat", T=np.eye(3))
    touch(tmp_path / "CT" / "CT_1.png", tmp_path / "CT" / "SPECT_1.png")
    (tmp_path / "CT" / "list.json").write_text(json.dumps({"1": ["x_1.mat", "SPECT_1.png", "CT_1.png"]}))
    (sample,) = load_dataset("mmim").read(tmp_path)
    assert (sample.fixed.name, sample.moving.name) == ("SPECT_1.png", "CT_1.png")


def test_mmim_pairs_without_a_matrix_are_left_out_and_a_wrong_matrix_is_refused(tmp_path):
    touch(*(tmp_path / "x" / f"{n}{side}.png" for n in (1, 2) for side in "ab"))
    write_mat(tmp_path / "x" / "1.mat", landmarks=np.zeros((15, 2)))
    with pytest.raises(InputError, match="matrix T"):
        load_dataset("mmim").read(tmp_path)
    write_mat(tmp_path / "x" / "2.mat", T=np.eye(3))
    assert [s.id for s in load_dataset("mmim").read(tmp_path)] == ["x/2"]
    write_mat(tmp_path / "x" / "1.mat", T=np.zeros((15, 2)))
    with pytest.raises(InputError, match="3 x 3"):
        load_dataset("mmim").read(tmp_path)
    (tmp_path / "x" / "1.mat").write_text("not MATLAB")
    with pytest.raises(InputError, match="MATLAB file"):
        load_dataset("mmim").read(tmp_path)


def test_osdataset_patches_of_one_number_lie_on_one_grid(tmp_path):
    touch(*(tmp_path / "512" / "test" / f"{kind}{n}.png" for kind in ("opt", "sar") for n in (10, 9)))
    touch(tmp_path / "256" / "train" / "sar3.png")
    samples = load_dataset("osdataset").read(tmp_path)
    assert [s.id for s in samples] == ["256/train/3", "512/test/9", "512/test/10"]
    assert (samples[1].fixed.name, samples[1].moving.name) == ("opt9.png", "sar9.png")
    assert samples[0].fixed == tmp_path / "256" / "train" / "opt3.png", "the half that lacks is still named"
    np.testing.assert_array_equal(samples[1].truth.transform(FIRST), FIRST)
    assert [s.id for s in load_dataset("osdataset").read(tmp_path / "512" / "test")] == ["patches/9", "patches/10"]


def test_aligned_pairs_of_any_folders_are_halves_of_one_name(tmp_path):
    touch(*(tmp_path / "ct-mri" / f"slice{n}_{half}.jpg" for n in (10, 9) for half in "ab"))
    touch(tmp_path / "optical-sar" / "town_a.png", tmp_path / "optical-sar" / "town_b.tif")
    touch(tmp_path / "alone_a.png", tmp_path / "alone_c.png")
    samples = load_dataset("aligned").read(tmp_path)
    assert [s.id for s in samples] == ["alone", "ct-mri/slice9", "ct-mri/slice10", "optical-sar/town"]
    assert [s.group for s in samples] == ["pairs", "ct-mri", "ct-mri", "optical-sar"]
    assert [(s.fixed.name, s.moving.name) for s in samples[::3]] == [
        ("alone_a.png", "alone_b.png"),  # the half that lacks is still named
        ("town_a.png", "town_b.tif"),
    ]
    np.testing.assert_array_equal(samples[0].truth.transform(FIRST), FIRST)


def write_hpatches(root, *sequences):
    for name in sequences:
        touch(*(root / name / f"{k}.ppm" for k in range(1, 7)))
        for k in range(2, 7):
            np.savetxt(root / name / f"H_1_{k}", TURN)


def test_hpatches_image_1_moves_onto_the_others(tmp_path):
    write_hpatches(tmp_path / "hpatches-sequences-release", "v_wall", "i_leuven")
    samples = load_dataset("hpatches").read(tmp_path)
    assert len(samples) == 10 and samples[0].id == "i_leuven/1_2" and samples[-1].id == "v_wall/1_6"
    assert (samples[0].group, samples[-1].group) == ("illumination", "viewpoint")
    assert (samples[-1].moving.name, samples[-1].fixed.name) == ("1.ppm", "6.ppm")
    np.testing.assert_allclose(samples[0].truth.transform(FIRST), TURNED, atol=1e-12)


def test_hpatches_108_is_without_the_sequences_of_large_images(tmp_path):
    write_hpatches(tmp_path, "v_wall", "v_talent", "i_dc")
    assert len(load_dataset("hpatches").read(tmp_path)) == 15
    assert {s.id.split("/")[0] for s in load_dataset("hpatches-108").read(tmp_path)} == {"v_wall"}


def test_hpatches_without_a_homography_names_it(tmp_path):
    write_hpatches(tmp_path, "v_wall")
    (tmp_path / "v_wall" / "H_1_4").unlink()
    with pytest.raises(InputError, match="H_1_4"):
        load_dataset("hpatches").read(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("srif", "gt_1.txt"),
        ("srif-published", "Optical-SAR"),
        ("mmim", ".mat"),
        ("osdataset", "opt1.png"),
        ("aligned", "NAME_a"),
        ("hpatches", "v_"),
        ("hpatches-108", "v_"),
    ],
)
def test_another_folder_is_refused_with_what_it_lacks(tmp_path, name, told):
    touch(tmp_path / "holiday.jpg")
    with pytest.raises(InputError) as caught:
        load_dataset(name).read(tmp_path)
    assert told in caught.value.message
    with pytest.raises(InputError, match="no folder there"):
        load_dataset(name).read(tmp_path / "gone")
