"""Which pairs are found, which are labelled, and what is said of each row that is of no use."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import rasterio
from made_pairs import SIDE, scene, truth_of, write_pair, write_pairs
from rasterio.crs import CRS

from xmatch.adaptation.pairs import draw_labelled, find_pairs, labelled_by, without
from xmatch.errors import InputError, UsageError

PLACES = [(5, 5), (60, 8), (10, 62), (58, 55), (33, 30)]


def write_points(path, count=5, header="fixed_x,fixed_y,moving_x,moving_y", bend=None, separator=",", bom=False):
    """Tie points of pair 0, by its truth."""
    moving = np.array(PLACES[:count] if bend is None else bend, float).reshape(-1, 2)
    fixed = truth_of(0)(moving)
    rows = [separator.join(f"{v:.3f}" for v in (*f, *m)) for f, m in zip(fixed, moving, strict=True)]
    text = "\n".join([header.replace(",", separator), *rows]) + "\n"
    path.write_text(text, encoding="utf-8-sig" if bom else "utf-8")
    return path


def test_a_manifest_says_which_pairs_there_are_and_which_are_labelled(tmp_path):
    found = find_pairs(write_pairs(tmp_path, 4, 2))
    assert [pair.truth is not None for pair in found.pairs] == [True, True, False, False]
    np.testing.assert_allclose(found.pairs[1].truth.matrix, truth_of(1).matrix)
    assert found.unusable == ()


def test_a_csv_manifest_may_leave_the_truth_empty(tmp_path):
    for number in (0, 1):
        write_pair(tmp_path, number)
    matrix = " ".join(map(str, truth_of(0).matrix.ravel()))
    lines = ["fixed,moving,moving_to_fixed,pixel_origin", f"00_fixed.png,00_moving.png,{matrix},corner"]
    (tmp_path / "pairs.csv").write_text("\n".join([*lines, "01_fixed.png,01_moving.png,,"]) + "\n")
    assert [pair.truth is not None for pair in find_pairs(tmp_path).pairs] == [True, False]


def test_without_a_manifest_names_tell_and_a_truth_may_lie_beside(tmp_path):
    for number in (0, 1):
        write_pair(tmp_path / "deep", number)
    write_points(tmp_path / "deep" / "00.csv")
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["deep/00", "deep/01"]
    np.testing.assert_allclose(found.pairs[0].truth((PLACES[3],)), truth_of(0)((PLACES[3],)), atol=0.01)


def test_other_names_by_a_pattern(tmp_path):
    fixed, moving = write_pair(tmp_path, 3)
    fixed.rename(tmp_path / "s3_optical.png")
    moving.rename(tmp_path / "s3_sar.png")
    with pytest.raises(InputError, match="no pairs here.*{}_fixed"):
        find_pairs(tmp_path)
    assert [pair.name for pair in find_pairs(tmp_path, pattern="{}_optical {}_sar").pairs] == ["s3"]
    with pytest.raises(UsageError, match="does not name two files"):
        find_pairs(tmp_path, pattern="{}_optical")


BAD_ROWS = {
    "singular": (lambda row: row.update(moving_to_fixed=[[1, 2, 0], [2, 4, 0], [0, 0, 1]]), "invertible"),
    "outside": (lambda row: row.update(moving_to_fixed=[[1, 0, 900], [0, 1, 0], [0, 0, 1]]), "outside fixed"),
    "horizon": (lambda row: row.update(moving_to_fixed=[[1, 0, 0], [0, 1, 0], [-0.03, 0, 1]]), "horizon"),
    "missing file": (lambda row: row.update(moving="none.png"), "none.png"),
    "not an image": (lambda row: row.update(moving="text.png"), "text.png"),
    "too small": (lambda row: row.update(moving="small.png"), "8 x 8 px"),
    "no fixed": (lambda row: row.pop("fixed"), "fixed"),
    "no origin": (lambda row: row.pop("pixel_origin"), "pixel_origin"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_among_good_ones_is_named_with_its_reason(tmp_path, name):
    spoil, reason = BAD_ROWS[name]
    write_pairs(tmp_path, 3, 3)
    (tmp_path / "text.png").write_text("no picture")
    cv2.imwrite(str(tmp_path / "small.png"), scene(0)[:8, :8])
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    spoil(rows[1])
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["00_moving", "02_moving"]
    (bad,) = found.unusable
    assert bad.where == "pairs.jsonl row 2" and reason in bad.reason


def test_a_line_that_is_no_json_is_named_too(tmp_path):
    write_pairs(tmp_path, 2, 2)
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write("{broken\n")
    (bad,) = find_pairs(tmp_path).unusable
    assert bad.where == "pairs.jsonl row 3" and "JSON" in bad.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"count": 0}, "0 tie points"),
        ({"count": 1}, "1 tie points"),
        ({"bend": [(5, 5), (20, 20), (40, 40), (60, 60)]}, "one line"),
        ({"bend": [(5, 5), (5, 5), (40, 10)]}, "rows 2 and 3 have the same"),
        ({"bend": [(5, 5), (500, 5), (40, 10)]}, "row 3.*outside"),
        ({"header": "a,b,c,d"}, "lacks the column"),
    ],
)
def test_tie_points_that_make_no_map_are_refused_with_their_row(tmp_path, content, reason):
    write_pair(tmp_path, 0)
    known = find_pairs(tmp_path).pairs
    points = write_points(tmp_path / "00.csv", **content)
    with pytest.raises(InputError, match=reason) as caught:
        labelled_by(points, known)
    assert caught.value.path == str(points)
    (bad,) = find_pairs(tmp_path).unusable  # among others, the pair is passed over
    assert bad.where == "00"


@pytest.mark.parametrize("more", [{"separator": ";"}, {"bom": True}, {"count": 2}, {"count": 3}, {"separator": "\t"}])
def test_tie_points_as_people_write_them(tmp_path, more):
    write_pair(tmp_path, 0)
    points = write_points(tmp_path / "00_moving.csv", **more)
    (pair,) = labelled_by(points, find_pairs(tmp_path).pairs).pairs
    np.testing.assert_allclose(pair.truth(np.array(PLACES)), truth_of(0)(np.array(PLACES)), atol=0.05)


def test_swapped_columns_are_noticed_when_points_contradict_each_other(tmp_path):
    write_pair(tmp_path, 0)
    known = find_pairs(tmp_path).pairs
    points = write_points(tmp_path / "00.csv")
    lines = points.read_text().splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([cells[1], cells[0], *cells[2:]])  # x and y of one point
    points.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"row \d lies \d+ px off"):
        labelled_by(points, known)


def test_points_must_be_called_like_a_pair(tmp_path):
    write_pair(tmp_path, 0)
    points = write_points(tmp_path / "other.csv")
    with pytest.raises(InputError, match="belongs to no pair") as caught:
        labelled_by(points, find_pairs(tmp_path).pairs)
    assert "00.csv" in caught.value.hint


def test_a_folder_of_points_labels_pairs_of_another_folder(tmp_path):
    for number in (0, 1):
        write_pair(tmp_path / "pairs", number)
    (tmp_path / "points").mkdir()
    write_points(tmp_path / "points" / "00.csv")
    write_points(tmp_path / "points" / "07.csv")
    found = labelled_by(tmp_path / "points", find_pairs(tmp_path / "pairs").pairs)
    assert [pair.name for pair in found.pairs] == ["00"]
    assert [row.where for row in found.unusable] == ["07.csv"]


def test_the_draw_is_seeded_and_wants_enough(tmp_path):
    found = find_pairs(write_pairs(tmp_path, 7, 6))
    drawn, rest = draw_labelled(found, 2, seed=3)
    assert [p.name for p in drawn] == [p.name for p in draw_labelled(found, 2, seed=3)[0]]
    assert len({tuple(p.name for p in draw_labelled(found, 2, seed)[0]) for seed in range(8)}) > 3
    assert len(rest) == 5 and not {p.key for p in drawn} & {p.key for p in rest}
    with pytest.raises(InputError, match="7 labelled pairs are asked for, 6 of 7 usable"):
        draw_labelled(found, 7, seed=0)


def test_the_same_files_count_once(tmp_path):
    found = find_pairs(write_pairs(tmp_path, 3, 1))
    assert len(without([*found.pairs, *found.pairs], found.pairs[:1])) == 2


def write_geotiff(path, image, affine, crs="EPSG:32633"):
    kind = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": SIDE, "height": SIDE}
    with rasterio.open(path, "w", **kind, crs=crs and CRS.from_user_input(crs), transform=affine) as file:
        file.write(image, 1)


def test_georeferencing_labels_only_when_it_is_trusted(tmp_path):
    at = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    write_geotiff(tmp_path / "a_fixed.tif", scene(0), at)
    write_geotiff(tmp_path / "a_moving.tif", scene(1), at @ rasterio.Affine.translation(4, 2))
    assert find_pairs(tmp_path).pairs[0].truth is None
    (pair,) = find_pairs(tmp_path, trust_georef=True).pairs
    np.testing.assert_allclose(pair.truth(np.array([[1.0, 1.0]])), [[5.0, 3.0]], atol=1e-6)
    assert pair.truth_source == "georeferencing"


@pytest.mark.parametrize(("shift", "crs", "reason"), [(9000, "EPSG:32633", "does not overlap"), (0, None, "no CRS")])
def test_georeferencing_that_cannot_be_trusted_is_named(tmp_path, shift, crs, reason):
    at = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    write_geotiff(tmp_path / "a_fixed.tif", scene(0), at)
    write_geotiff(tmp_path / "a_moving.tif", scene(1), at @ rasterio.Affine.translation(shift, 0), crs)
    (bad,) = find_pairs(tmp_path, trust_georef=True).unusable
    assert bad.where == "a" and reason in bad.reason


def test_no_folder_and_no_pair_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_pairs(tmp_path / "none")
    with pytest.raises(InputError, match="no pairs here"):
        find_pairs(tmp_path)
