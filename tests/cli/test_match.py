"""`xmatch match`: correspondences on stdout or in a file."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import SHIFT

pytest.importorskip("xmatch.io.points.writing")


def rows(text: str) -> list[dict[str, float]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def positions(table: list[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.array([[row[f"{side}_x"], row[f"{side}_y"]] for row in table]) for side in ("fixed", "moving"))


def test_points_go_to_stdout_as_csv(cli, pair):
    result = cli("match", *pair)
    fixed_xy, moving_xy = positions(rows(result.out))
    assert result.code == 0 and len(fixed_xy) == 9
    assert np.allclose(fixed_xy, SHIFT(moving_xy), atol=1e-3)


def test_untrusted_points_are_given_all_the_same(cli, pair, behave):
    behave("untrusted")
    result = cli("match", *pair)
    assert result.code == 4 and len(rows(result.out)) == 9


@pytest.mark.parametrize("args", [["--json"], ["--format", "json"]])
def test_json_is_json(cli, pair, args):
    assert json.loads(cli("match", *pair, *args).out)


def test_the_suffix_of_the_output_chooses_the_format(cli, pair):
    for suffix in ("csv", "json", "npz"):
        result = cli("match", *pair, "-o", f"points.{suffix}")
        assert (result.code, result.out) == (0, "")
    assert len(rows(Path("points.csv").read_text())) == 9
    assert json.loads(Path("points.json").read_text())
    assert "fixed_xy" in np.load("points.npz")


def test_npz_passes_through_a_pipe(spawn):
    out, _ = spawn("match", "optical.tif", "sar.tif", "--format", "npz").communicate(timeout=100)
    assert np.load(io.BytesIO(out))["moving_xy"].shape == (9, 2)


@pytest.mark.parametrize("args", [["-o", "points.txt"], ["--format", "xml"]])
def test_an_unknown_format_is_refused_before_any_work(cli, pair, behave, args):
    behave("bug")
    assert cli("match", *pair, *args).code == 2


def test_nothing_is_overwritten_unless_asked(cli, pair):
    Path("points.csv").write_text("mine")
    assert cli("match", *pair, "-o", "points.csv").code == 5
    assert Path("points.csv").read_text() == "mine"
    assert cli("match", *pair, "-o", "points.csv", "--overwrite").code == 0


def test_register_writes_the_same_points(cli, pair):
    cli("match", *pair, "-o", "matched.csv")
    cli("register", *pair, "--points", "registered.csv")
    assert Path("matched.csv").read_text() == Path("registered.csv").read_text()


def test_with_json_stdout_is_one_document_wherever_the_points_go(cli, pair):
    told = cli("match", *pair, "--json", "-o", "points.csv").json
    assert told["ok"] and told["output"] == "points.csv" and told["correspondences"] == {"count": 9, "inliers": 9}
    assert cli("match", *pair, "--json", "--format", "csv").code == 2


def test_a_spacing_gives_a_lattice_in_every_format(cli, pair):
    """The images are 48 x 40 px; their tie points reach from 5 to 40 and from 4 to 33 px of moving."""
    table = rows(cli("match", *pair, "--spacing", "4").out)
    fixed_xy, moving_xy = positions(table)
    assert len(table) > 50 and np.array_equal(fixed_xy % 4, np.full(fixed_xy.shape, 2.0))
    assert np.allclose(SHIFT(moving_xy), fixed_xy, atol=1e-3)
    for suffix in ("csv", "json", "npz", "points"):
        assert cli("match", *pair, "--spacing", "4", "-o", f"dense.{suffix}").code == 0
    assert json.loads(Path("dense.json").read_text())["count"] == len(np.load("dense.npz")["certainty"]) == len(table)
    assert len(Path("dense.points").read_text().splitlines()) == len(table) + 1


def test_a_spacing_that_cannot_be_is_refused_before_any_work(cli, pair, behave):
    behave("bug")
    assert cli("match", *pair, "--spacing", "0").code == 2


def test_a_geometry_fits_no_map_and_says_so(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (120, 150), dtype=np.uint8)
    tifffile.imwrite(Path("a.tif"), pixels[:, 20:])
    tifffile.imwrite(Path("b.tif"), pixels[:, :-20])
    result = cli("match", "a.tif", "b.tif", "--geometry", "fundamental", "--matcher", "sift", "--json", "-o", "p.csv")
    assert result.code == 0 and result.json["transform"] is None and result.json["verdict"]["accepted"]
    assert len(rows(Path("p.csv").read_text())) > 20
    assert cli("match", "a.tif", "b.tif", "--geometry", "fundamental", "--spacing", "9").code == 2
    assert "--focal" in cli("match", "a.tif", "b.tif", "--geometry", "essential", "--focal", "wide").err
