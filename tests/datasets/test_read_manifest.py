"""Our own lists of pairs: JSON lines and CSV say the same; a broken row is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xmatch.datasets import load_dataset
from xmatch.datasets.manifest import read_rows
from xmatch.errors import InputError

SHIFT = [[1.0, 0.0, 3.0], [0.0, 1.0, -2.0], [0.0, 0.0, 1.0]]
TURN = [[0.0, -1.0, 9.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def row(**changes):
    return {"fixed": "a.png", "moving": "sub/b.png", "moving_to_fixed": TURN, "pixel_origin": "center"} | changes


def write(folder, *rows):
    (folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_a_row_is_two_images_beside_the_list_and_a_map_of_corner_counted_positions(tmp_path):
    samples = load_dataset("pairs").read(write(tmp_path, row(), row(pixel_origin="corner")))
    assert [s.id for s in samples] == ["0000", "0001"]
    assert samples[0].fixed == tmp_path / "a.png" and samples[0].moving == tmp_path / "sub" / "b.png"
    # A quarter turn of 10 px about their middle: centre (0, 0) goes to centre (9, 0), which is (9.5, 0.5) here.
    np.testing.assert_allclose(samples[0].truth.transform(np.array([[0.5, 0.5]])), [[9.5, 0.5]], atol=1e-12)
    np.testing.assert_allclose(samples[1].truth.transform(np.array([[0.5, 0.5]])), [[8.5, 0.5]], atol=1e-12)


def test_csv_says_the_same_as_json_lines(tmp_path):
    numbers = " ".join(str(value) for line in TURN for value in line)
    head = "fixed,moving,moving_to_fixed,pixel_origin\n"
    (tmp_path / "pairs.csv").write_text(f"{head}a.png,sub/b.png,{numbers},center\n")
    from_csv = load_dataset("pairs").read(tmp_path)[0]
    (from_json,) = load_dataset("pairs").read(write(tmp_path, row()))
    assert (from_csv.id, from_csv.fixed, from_csv.moving) == (from_json.id, from_json.fixed, from_json.moving)
    np.testing.assert_array_equal(from_csv.truth.transform.matrix, from_json.truth.transform.matrix)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pixel_origin": "middle"}, "neither 'center' nor 'corner'"),
        ({"moving_to_fixed": [[0, 0, 0]] * 3}, "invertible"),
        ({"moving": None}, "NoneType"),
    ],
)
def test_a_broken_row_is_named_and_the_others_can_still_be_had(tmp_path, change, told):
    write(tmp_path, row(), row(**change), row(moving_to_fixed=SHIFT))
    with pytest.raises(InputError, match="row 2") as caught:
        load_dataset("pairs").read(tmp_path)
    assert told in caught.value.message
    assert [r.problem is None for r in read_rows(tmp_path / "pairs.jsonl")] == [True, False, True]


def test_a_row_without_a_key_says_which(tmp_path):
    write(tmp_path, {key: value for key, value in row().items() if key != "pixel_origin"})
    with pytest.raises(InputError, match="pixel_origin"):
        load_dataset("pairs").read(tmp_path)


def test_a_row_that_does_not_say_how_it_counts_counts_as_its_reader_says(tmp_path):
    silent = {key: value for key, value in row().items() if key != "pixel_origin"}
    write(tmp_path, silent, row(pixel_origin="corner"))
    by_centres, by_corners = read_rows(tmp_path / "pairs.jsonl", "center")
    assert by_centres.problem is None and by_corners.problem is None
    # A quarter turn about the middle of 10 px: what counts from centres is half a px further on both ways.
    np.testing.assert_allclose(by_centres.moving_to_fixed[:2, 2], [10, 0], atol=1e-12)
    np.testing.assert_allclose(by_corners.moving_to_fixed[:2, 2], [9, 0], atol=1e-12)


def test_landmarks_stand_where_there_is_no_matrix(tmp_path):
    marked = row(moving_to_fixed=None, landmarks=[[1, 2, 3, 4], [5, 6, 7, 8]])
    write(tmp_path, marked, row(landmarks=marked["landmarks"]), marked | {"landmarks": [[1, 2, 3]]})
    found, both, broken = read_rows(tmp_path / "pairs.jsonl")
    np.testing.assert_array_equal(found.landmarks, [[1.5, 2.5, 3.5, 4.5], [5.5, 6.5, 7.5, 8.5]])
    assert found.moving_to_fixed is None and found.problem is None
    assert both.landmarks is None and both.moving_to_fixed is not None
    assert "moving x" in broken.problem


def test_what_is_no_list_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"pairs\.jsonl or pairs\.csv"):
        load_dataset("pairs").read(tmp_path)
    (tmp_path / "pairs.jsonl").write_text("\n")
    with pytest.raises(InputError, match="without pairs"):
        load_dataset("pairs").read(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset("pairs").read(tmp_path / "gone.jsonl")
