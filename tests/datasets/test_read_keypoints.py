"""SPair-71k, PF-PASCAL, PF-WILLOW and TAP-Vid-DAVIS: tiny copies become corner-counted points."""

from __future__ import annotations

import csv
import json
import pickle

import numpy as np
import pytest
from scipy.io import savemat

from xmatch.datasets import pf, spair, tapvid
from xmatch.errors import InputError

PASCAL, WILLOW = pf.DATASETS


def write_csv(path, row):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)


def test_spair_source_is_moving_and_counts_from_the_first_centre(tmp_path):
    folder = tmp_path / "PairAnnotation" / "test"
    folder.mkdir(parents=True)
    pair = {"category": "cat", "src_imname": "a.jpg", "trg_imname": "b.jpg", "src_kps": [[0, 0], [3, 4]]}
    pair |= {"trg_kps": [[5, 6], [7, 8]], "src_bndbox": [0, 0, 9, 9], "trg_bndbox": [1, 2, 11, 22]}
    (folder / "000001-a-b_cat.json").write_text(json.dumps(pair))
    (sample,) = spair.DATASET.read(tmp_path)
    assert sample.group == "cat" and sample.moving == tmp_path / "JPEGImages" / "cat" / "a.jpg"
    np.testing.assert_array_equal(sample.truth.moving_xy, [[0.5, 0.5], [3.5, 4.5]])
    np.testing.assert_array_equal(sample.truth.fixed_xy, [[5.5, 6.5], [7.5, 8.5]])
    assert sample.truth.fixed_box == (1.5, 2.5, 11.5, 22.5)


def test_pf_pascal_counts_from_one(tmp_path):
    row = {"source_image": "i/a.jpg", "target_image": "i/b.jpg", "class": "1"}
    write_csv(tmp_path / "test_pairs.csv", row | {"XA": "1;2", "YA": "1;3", "XB": "4;5", "YB": "6;7"})
    (sample,) = PASCAL.read(tmp_path)
    assert sample.moving == tmp_path / "i" / "a.jpg" and sample.truth.fixed_box is None
    np.testing.assert_array_equal(sample.truth.moving_xy, [[0.5, 0.5], [1.5, 2.5]])
    np.testing.assert_array_equal(sample.truth.fixed_xy, [[3.5, 5.5], [4.5, 6.5]])


def test_pf_pascal_needs_as_many_points_in_both(tmp_path):
    row = {"source_image": "a", "target_image": "b", "class": "1", "XA": "1;2", "YA": "1;3", "XB": "4", "YB": "6"}
    write_csv(tmp_path / "test_pairs.csv", row)
    with pytest.raises(InputError, match="row 1"):
        PASCAL.read(tmp_path)


def write_training(folder, parts):
    """PF-PASCAL as it is published: a list beside the images, points in a .mat of each; MATLAB counts from 1."""
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "Annotations" / "bicycle").mkdir(parents=True)
    for name, points in parts.items():
        (folder / "JPEGImages" / f"{name}.jpg").write_bytes(b"")
        savemat(folder / "Annotations" / "bicycle" / f"{name}.mat", {"kps": points, "bbox": np.array([[1, 1, 9, 9]])})
    images = (f"PF-dataset-PASCAL/JPEGImages/{name}.jpg" for name in "ab")
    row = ",".join([*images, "2"])
    (folder / "trn_pairs.csv").write_text(f"source_image,target_image,class,flip\n{row},0\n{row},1\n")


def test_pf_pascal_training_pairs_have_the_parts_that_both_images_show(tmp_path):
    root = tmp_path / "PF-dataset-PASCAL"
    write_training(root, {"a": [[1, 1], [np.nan, np.nan], [3, 4]], "b": [[5, 6], [7, 8], [9, 9]]})
    (sample,) = pf.read_pascal_training(root)
    assert (sample.group, sample.moving) == ("bicycle", root / "JPEGImages" / "a.jpg") and sample.fixed.is_file()
    np.testing.assert_array_equal(sample.truth.moving_xy, [[0.5, 0.5], [2.5, 3.5]])
    np.testing.assert_array_equal(sample.truth.fixed_xy, [[4.5, 5.5], [8.5, 8.5]])


def test_pf_pascal_training_names_the_annotation_that_is_none(tmp_path):
    write_training(tmp_path, {"a": [[1, 1]], "b": [[5, 6]]})
    (tmp_path / "Annotations" / "bicycle" / "b.mat").write_bytes(b"no")
    with pytest.raises(InputError, match="annotation of PF-PASCAL") as caught:
        pf.read_pascal_training(tmp_path)
    assert str(caught.value.path).endswith("b.mat")


def test_spair_training_pairs_are_those_of_trn(tmp_path):
    pair = {"category": "cat", "src_imname": "a.jpg", "trg_imname": "b.jpg", "src_kps": [[0, 0]], "trg_kps": [[5, 6]]}
    pair |= {"src_bndbox": [0, 0, 9, 9], "trg_bndbox": [1, 2, 11, 22]}
    for split in ("trn", "test"):
        (tmp_path / "PairAnnotation" / split).mkdir(parents=True)
        (tmp_path / "PairAnnotation" / split / f"1-{split}_cat.json").write_text(json.dumps(pair))
    assert [sample.id for sample in spair.read_training(tmp_path)] == ["1-trn_cat"]
    assert [sample.id for sample in spair.DATASET.read(tmp_path)] == ["1-test_cat"]


def test_pf_willow_is_measured_by_the_box_around_its_points(tmp_path):
    points = {f"{axis}{side}{i}": i * (2 if axis == "Y" else 1) for side in "AB" for axis in "XY" for i in range(1, 11)}
    write_csv(tmp_path / "test_pairs_pf.csv", {"imageA": "duck/a.png", "imageB": "duck/b.png"} | points)
    (sample,) = WILLOW.read(tmp_path)
    assert sample.group == "duck"
    assert sample.truth.fixed_box == (0.5, 1.5, 9.5, 19.5)


def test_tapvid_multiplies_fractions_and_keeps_points_seen_at_first(tmp_path):
    video = np.arange(3 * 4 * 8 * 3, dtype=np.uint8).reshape(3, 4, 8, 3)
    points = np.full((2, 3, 2), 0.5)
    points[0, 2] = 0.25, 1.0
    occluded = np.array([[False, True, False], [True, False, False]])
    content = {"goat": {"video": video, "points": points, "occluded": occluded}}
    (tmp_path / tapvid.FILE).write_bytes(pickle.dumps(content))
    first, second = tapvid.DATASET.read(tmp_path)
    assert (second.id, second.group, second.fixed_frame, second.moving_frame) == ("goat/0002", "goat", 0, 2)
    np.testing.assert_array_equal(second.truth.fixed_xy, [[4.0, 2.0]])
    np.testing.assert_array_equal(second.truth.moving_xy, [[2.0, 4.0]])
    assert (first.truth.visible.tolist(), second.truth.visible.tolist()) == ([False], [True])
    np.testing.assert_array_equal(tapvid.frame(second.fixed, second.group, 2), video[2])


@pytest.mark.parametrize("dataset", [spair.DATASET, PASCAL, WILLOW, tapvid.DATASET], ids=lambda d: d.name)
def test_an_empty_folder_is_none_of_them(dataset, tmp_path):
    with pytest.raises(InputError):
        dataset.read(tmp_path)
