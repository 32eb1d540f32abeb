"""What is given by hand, from the command line to the files that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scenes import FIXED_AT, SIDE, georeferenced, ground, optical, placed, radar, seen, to_fixed, write

from xmatch.errors import ExitCode

LAND = ground(3)
MOVING_AT = placed(4, 1.03, (9, -14))
TRUE = to_fixed(MOVING_AT)
HAND = np.array([[60.0, 70.0], [180.0, 60.0], [170.0, 180.0], [70.0, 170.0], [120.0, 110.0], [130.0, 200.0]])
CONTROL = np.array([[100.0, 100.0], [140.0, 90.0], [110.0, 150.0]])
ALONE = ["--tie-points", "hand.csv", "--tie-points-only"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """a.tif, which lies on the ground, b.tif, points set by hand in hand.csv, and control points 5 px off."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.tif", optical(seen(LAND, FIXED_AT)), **georeferenced(FIXED_AT))
    write(tmp_path / "b.tif", radar(seen(LAND, MOVING_AT)))
    points("hand.csv", HAND)
    points("control.csv", CONTROL, (3, 4))
    return "a.tif", "b.tif"


def points(name: str, moving_xy: np.ndarray, off=(0, 0)) -> None:
    rows = np.hstack([TRUE(moving_xy) + off, moving_xy])
    Path(name).write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def test_the_measured_error_stands_beside_the_expected_one(cli, files):
    told = cli("register", *files, *ALONE, "--check-points", "control.csv", "--json")
    assert told.code == ExitCode.OK
    part = told.json["check_points"]
    assert (part["count"], part["unmapped"], part["ground_unit"]) == (3, 0, "m")
    assert part["rmse_px"] == pytest.approx(5) and part["ce90_ground"] == pytest.approx(50, rel=1e-3)
    assert told.json["verdict"]["ce90_px"] < 0.1 and told.json["verdict"]["probability"] is None
    assert json.loads(Path("b.registered.report.json").read_text())["check_points"] == part
    assert "Measured error" in Path("b.registered.report.html").read_text()
    assert "measured error at 3 check points: RMSE 5.00 px = 50 m" in told.err


def test_a_report_replays_what_was_given(cli, files):
    cli("register", *files, *ALONE, "--json")
    again = cli("register", *files, "--recipe", "b.registered.report.json", "-o", "again.tif", "--json")
    assert again.code == ExitCode.OK and "6 points set by hand alone" in again.json["verdict"]["reason"]


def test_match_measures_too(cli, files):
    told = cli("match", *files, *ALONE, "--check-points", "control.csv", "-o", "points.json", "--json")
    assert told.code == ExitCode.OK and told.json["check_points"]["rmse_px"] == pytest.approx(5)


def test_too_few_points_are_not_trusted_and_kept_on_request(cli, files):
    points("hand.csv", HAND[:2])
    told = cli("register", *files, *ALONE, "--keep-unreliable")
    assert told.code == ExitCode.UNTRUSTED and Path("b.registered.unreliable.tif").exists()
    assert "Points enough that agree" in Path("b.registered.report.html").read_text()


def test_a_raster_is_cut_on_request_alone(cli, files):
    cli("register", *files, *ALONE, "--roi", "40,30,80,60", "-o", "whole.tif")
    cli("register", *files, *ALONE, "--roi", "40,30,80,60", "--crop-to-roi", "-o", "part.tif")
    with rasterio.open("a.tif") as fixed, rasterio.open("whole.tif") as whole, rasterio.open("part.tif") as part:
        assert whole.shape == fixed.shape and whole.transform == fixed.transform
        assert part.transform * (0, 0) == fixed.transform * (40, 30)
        words = ["--roi", "40,30,80,60", "--crop-to-roi", "-o", "new.tif", "--dry-run", "--json"]
        planned = cli("register", *files, *ALONE, *words)
        assert (planned.json["grid"]["width"], planned.json["grid"]["height"]) == (80, 60)
        assert np.array_equal(part.read(1), whole.read(1)[30:90, 40:120])


def test_what_is_masked_stays_in_the_raster(cli, files):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, 100:] = 1
    write(Path("mask.tif"), mask)
    told = cli("register", *files, "--tie-points", "hand.csv", "--mask", "mask.tif", "--threads", 1, "--json")
    assert told.code == ExitCode.OK
    with rasterio.open("b.registered.tif") as raster:
        assert raster.read_masks(1)[60:180, 30:90].all()


def test_a_list_of_pairs_names_what_is_given_for_each(cli, files):
    Path("pairs.csv").write_text("fixed,moving,output,tie_points,roi\na.tif,b.tif,one.tif,hand.csv,\n")
    told = cli("register", "--pairs", "pairs.csv", "--tie-points-only", "--tie-points", "none.csv")
    assert told.code == ExitCode.OK and "6 points" in told.json["verdict"]["reason"]


def test_no_output_replaces_what_was_given(cli, files):
    before = Path("hand.csv").read_bytes()
    told = cli("match", *files, *ALONE, "-o", "hand.csv", "--overwrite")
    assert told.code == ExitCode.OUTPUT and Path("hand.csv").read_bytes() == before


@pytest.mark.parametrize(
    "words, code",
    [
        (["--tie-points", "none.csv"], ExitCode.INPUT),
        (["--tie-points", "a.tif"], ExitCode.INPUT),
        (["--check-points", "none.csv"], ExitCode.INPUT),
        (["--mask", "none.geojson"], ExitCode.INPUT),
        (["--initial", "1,0,0,0,1"], ExitCode.USAGE),
        (["--tie-points", "hand.csv", "--initial", "1,0,0,0,1,0"], ExitCode.USAGE),
        (["--tie-points-only"], ExitCode.USAGE),
        (["--near-shift", "5"], ExitCode.USAGE),
        (["--crop-to-roi"], ExitCode.USAGE),
        (["--roi", "0,0,50,50", "--crop-to-roi", "--grid", "moving"], ExitCode.USAGE),
    ],
)
def test_what_cannot_be_used_is_told_by_its_exit_code(cli, files, words, code):
    assert cli("register", *files, *words).code == cli("register", *files, *words, "--dry-run").code == code
    assert not list(Path().glob("b.registered*"))
