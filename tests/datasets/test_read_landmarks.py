"""FIRE, ANHIR and ACROBAT: tiny copies of their layouts become pairs of corner-counted landmarks."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from xmatch.datasets import load_dataset
from xmatch.datasets.anhir import ACROBAT_COLUMNS, ANHIR_COLUMNS
from xmatch.errors import InputError


def write_table(path, columns, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_fire(root, *names):
    (root / "Ground Truth").mkdir(parents=True)
    for name in names:
        text = "0.000 0.000 10.500 20.250\n7 8 9 11\n"
        (root / "Ground Truth" / f"control_points_{name}_1_2.txt").write_text(text)


def test_fire_points_are_two_columns_an_image_and_count_from_the_first_centre(tmp_path):
    write_fire(tmp_path, "S12", "A01", "S2")
    samples = load_dataset("fire").read(tmp_path)
    assert [(s.id, s.group) for s in samples] == [("A01", "A"), ("S2", "S"), ("S12", "S")]
    assert samples[0].fixed == tmp_path / "Images" / "A01_1.jpg"
    assert samples[0].moving == tmp_path / "Images" / "A01_2.jpg"
    np.testing.assert_array_equal(samples[0].truth.fixed_xy, [[0.5, 0.5], [7.5, 8.5]])
    np.testing.assert_array_equal(samples[0].truth.moving_xy, [[11.0, 20.75], [9.5, 11.5]])


def test_fire_is_without_the_pair_whose_points_are_wrong(tmp_path):
    write_fire(tmp_path, "P36", "P37")
    assert [s.id for s in load_dataset("fire").read(tmp_path)] == ["P36"]


def test_fire_points_of_another_form_are_refused(tmp_path):
    write_fire(tmp_path, "P36")
    (tmp_path / "Ground Truth" / "control_points_P36_1_2.txt").write_text("1 2 3\n")
    with pytest.raises(InputError, match="rows of 4 numbers"):
        load_dataset("fire").read(tmp_path)


def write_anhir(root, *statuses, folders=True):
    images, landmarks = ("images", "landmarks") if folders else (".", ".")
    rows = []
    for i, status in enumerate(statuses):
        source, target = f"lung-lesion_{i}/scale-50pc/He.", f"lung-lesion_{i}/scale-50pc/Ki67."
        rows.append([i, f"{source}jpg", f"{target}jpg", f"{source}csv", f"{target}csv", status])
        (root / images / f"{source}jpg").parent.mkdir(parents=True, exist_ok=True)
        write_table(root / landmarks / f"{source}csv", ["", "X", "Y"], [0, 10.0, 20.0], [1, 30, 40], [2, 50, 60])
        if status == "training":
            write_table(root / landmarks / f"{target}csv", ["", "X", "Y"], [0, 11.5, 21.0], [1, 31, 41])
    write_table(root / "dataset_medium.csv", ["", *ANHIR_COLUMNS, "status"], *rows)


@pytest.mark.parametrize("folders", [True, False])
def test_anhir_source_moves_onto_target_and_counts_from_the_corner(tmp_path, folders):
    write_anhir(tmp_path, "training", folders=folders)
    (sample,) = load_dataset("anhir").read(tmp_path)
    assert (sample.id, sample.group) == ("000", "lung-lesion")
    assert (sample.moving.name, sample.fixed.name) == ("He.jpg", "Ki67.jpg")
    assert sample.moving.parent.is_dir()
    np.testing.assert_array_equal(sample.truth.moving_xy, [[10.0, 20.0], [30.0, 40.0]])
    np.testing.assert_array_equal(sample.truth.fixed_xy, [[11.5, 21.0], [31.0, 41.0]])


def test_anhir_pairs_without_published_landmarks_are_left_out_and_the_others_keep_their_ids(tmp_path):
    write_anhir(tmp_path, "evaluation", "training")
    assert [s.id for s in load_dataset("anhir").read(tmp_path)] == ["001"]
    assert [s.id for s in load_dataset("anhir").read(tmp_path / "dataset_medium.csv")] == ["001"]


def test_anhir_names_landmarks_that_lack(tmp_path):
    write_anhir(tmp_path, "training")
    (tmp_path / "landmarks" / "lung-lesion_0" / "scale-50pc" / "Ki67.csv").unlink()
    with pytest.raises(InputError, match=r"Ki67\.csv"):
        load_dataset("anhir").read(tmp_path)


def test_anhir_with_evaluation_rows_only_is_refused(tmp_path):
    write_anhir(tmp_path, "evaluation")
    with pytest.raises(InputError, match="no pairs with published landmarks"):
        load_dataset("anhir").read(tmp_path)


def test_a_choice_of_tables_is_the_users(tmp_path):
    write_anhir(tmp_path, "training")
    (tmp_path / "dataset_medium.csv").rename(tmp_path / "dataset_small.csv")
    assert len(load_dataset("anhir").read(tmp_path)) == 1
    (tmp_path / "dataset_large.csv").touch()
    with pytest.raises(InputError, match=r"dataset_large\.csv, dataset_small\.csv"):
        load_dataset("anhir").read(tmp_path)


def write_acrobat(root, *cases, he=("5.0", "10.0")):
    """Two points a case: the second has no position in the HE slide."""
    rows = []
    for case in cases:
        named = [case, f"{case}_HE_val.ndpi", f"{case}_KI67_val.ndpi", "KI67"]
        rows += [[*named, "9.0", "18.0", *he, "0.9", "1.0"], [*named, "1.0", "1.0", "", "", "0.9", "1.0"]]
    write_table(root / "acrobat_validation_points_public_1_of_1.csv", ACROBAT_COLUMNS, *rows)


def test_acrobat_micrometres_become_px_and_points_without_a_partner_go(tmp_path):
    write_acrobat(tmp_path, 10, 9)
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid" / "9_HE_val.tif").touch()
    samples = load_dataset("acrobat").read(tmp_path)
    assert [(s.id, s.group) for s in samples] == [("9/9_KI67_val", "KI67"), ("10/10_KI67_val", "KI67")]
    assert samples[0].fixed == tmp_path / "valid" / "9_HE_val.tif"
    assert samples[0].moving == tmp_path / "9_KI67_val.tif", "a slide that lacks is still named"
    np.testing.assert_allclose(samples[0].truth.moving_xy, [[10.0, 20.0]])
    np.testing.assert_allclose(samples[0].truth.fixed_xy, [[5.0, 10.0]])


def test_acrobat_as_the_organisers_publish_it_cannot_be_measured(tmp_path):
    write_acrobat(tmp_path, 1, he=("", ""))
    with pytest.raises(InputError, match="the organisers keep"):
        load_dataset("acrobat").read(tmp_path)


@pytest.mark.parametrize(("name", "lacking"), [("anhir", "Source image"), ("acrobat", "anon_id")])
def test_a_table_with_other_columns_is_refused(tmp_path, name, lacking):
    write_table(tmp_path / "points.csv", ["x", "y"], [1, 2])
    with pytest.raises(InputError, match=f"lacks the columns {lacking}"):
        load_dataset(name).read(tmp_path / "points.csv")


@pytest.mark.parametrize(
    ("name", "told"), [("fire", "control_points"), ("anhir", "dataset_medium.csv"), ("acrobat", "acrobat_validation")]
)
def test_another_folder_is_refused_with_what_it_lacks(tmp_path, name, told):
    with pytest.raises(InputError) as caught:
        load_dataset(name).read(tmp_path)
    assert told in caught.value.message
    with pytest.raises(InputError, match="no folder there"):
        load_dataset(name).read(tmp_path / "gone")
