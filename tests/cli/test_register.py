"""`xmatch register` on one pair: what it writes, what it says, what it leaves alone."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from fakes import SHIFT, write_image

from xmatch.geometry import transform_from_dict


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_trusted_pair_gives_a_raster_on_the_fixed_grid_and_a_report(cli, pair):
    write_image(Path("optical.tif"), width=60, height=50)
    result = cli("register", *pair)
    assert (result.code, result.out) == (0, "")
    with rasterio.open("sar.registered.tif") as raster:
        assert (raster.width, raster.height, raster.dtypes[0]) == (60, 50, "uint16")
    document = json.loads(Path("sar.registered.report.json").read_text())
    assert document["output"] == "sar.registered.tif"
    assert np.allclose(transform_from_dict(document["transform"]).matrix, SHIFT.matrix)
    assert "<html" in Path("sar.registered.report.html").read_text()
    assert len(names()) == 5


def test_json_on_stdout_is_the_report(cli, pair):
    result = cli("register", *pair, "--json")
    assert result.json == json.loads(Path("sar.registered.report.json").read_text())
    assert result.out.count("\n") == 1


@pytest.mark.parametrize("behaviour", ["trusted", "untrusted"])
@pytest.mark.parametrize("options", [(), ("--keep-unreliable",)])
def test_json_lists_every_file_that_was_written(cli, pair, behave, behaviour, options):
    behave(behaviour)
    before = set(names())
    extra = ("--points", "p.csv", "--tfm", "t.tfm", "--vrt", "v.vrt", "--displacement", "d.tif", "--error-map", "e.tif")
    listed = cli("register", *pair, "--json", *extra, *options).json["files"]
    assert set(listed) == set(names()) - before and len(listed) == len(set(listed))


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_file_that_simpleitk_reads_otherwise_is_found_before_the_work(cli, pair, behave, more):
    behave("bug")  # which no test of outputs should reach
    pixels = np.zeros((40, 48), np.uint8)
    tifffile.imwrite("sar.tif", pixels, extratags=[(274, "H", 1, 3, True)])
    result = cli("register", *pair, "--tfm", "t.tfm", *more)
    assert result.code == 5 and "orientation 3" in result.err


def test_the_summary_says_the_verdict_first_and_the_motion_in_words(cli, pair):
    lines = cli("register", *pair).err.splitlines()
    assert lines[0].startswith("trusted")
    assert any("turn 10.00 degrees clockwise" in line and "scale 1.0000" in line for line in lines)
    assert "wrote sar.registered.tif" in lines


def test_quiet_says_nothing(cli, pair):
    result = cli("register", *pair, "-q")
    assert (result.out, result.err) == ("", "")


@pytest.mark.parametrize("behaviour", ["untrusted", "lost"])
def test_an_untrusted_pair_leaves_its_report_and_no_raster(cli, pair, behave, behaviour):
    behave(behaviour)
    result = cli("register", *pair, "--json", "--displacement", "shifts.tif")
    assert result.code == 4
    assert (result.json["ok"], result.json["output"]) == (False, None)
    assert names() == ["optical.tif", "sar.registered.report.html", "sar.registered.report.json", "sar.tif"]


def test_an_untrusted_pair_is_told_what_else_could_be_searched(cli, pair, behave):
    behave("untrusted")
    said = cli("register", *pair, "--max-scale", "3").err
    assert "try: " in said and "--max-scale 6" in said and "--mirror" in said
    assert "--mirror" not in cli("register", *pair, "--mirror", "--overwrite").err


def test_an_unreliable_raster_is_kept_on_request_under_a_name_that_says_so(cli, pair, behave):
    behave("untrusted")
    result = cli("register", *pair, "--keep-unreliable", "--json")
    assert (result.code, result.json["output"]) == (4, "sar.registered.unreliable.tif")
    assert Path("sar.registered.unreliable.tif").exists() and not Path("sar.registered.tif").exists()


def test_transform_only_and_no_report_leave_out_what_they_say(cli, pair):
    assert cli("register", *pair, "--transform-only").code == 0
    assert not Path("sar.registered.tif").exists() and Path("sar.registered.report.json").exists()
    assert cli("register", *pair, "--no-report", "-o", "only.tif").code == 0
    assert [name for name in names() if name.startswith("only")] == ["only.tif"]


def test_the_moving_grid_keeps_moving_pixels(cli, pair):
    assert cli("register", *pair, "--grid", "moving").code == 0
    with rasterio.open("sar.registered.tif") as raster, rasterio.open("sar.tif") as moving:
        assert np.array_equal(raster.read(1), moving.read(1))


def test_nothing_is_overwritten_unless_asked(cli, pair):
    Path("sar.registered.report.html").write_text("mine")
    before = names()
    assert cli("register", *pair).code == 5
    assert names() == before and Path("sar.registered.report.html").read_text() == "mine"
    assert cli("register", *pair, "--overwrite").code == 0
    assert Path("sar.registered.report.html").read_text() != "mine"


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_input_is_never_an_output(cli, pair, link):
    target = "sar.tif"
    if link:
        link("sar.tif", target := "other.tif")
    before = Path("sar.tif").read_bytes()
    assert cli("register", *pair, "-o", target, "--overwrite").code == 5
    assert Path("sar.tif").read_bytes() == before


@pytest.mark.parametrize("output", ["sar.tif/out.tif", "sar.tif/new/out.tif", "n" * 300 + ".tif"])
def test_an_impossible_target_ends_with_5_before_any_work(cli, pair, behave, output):
    behave("bug")  # would end with 1
    assert cli("register", *pair, "-o", output).code == 5


def test_a_report_that_cannot_be_written_takes_the_raster_back(cli, pair, monkeypatch):
    Path("sar.registered.tif").write_text("old")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xmatch.report.write_reports", full)
    assert cli("register", *pair, "--overwrite").code == 5
    assert Path("sar.registered.tif").read_text() == "old"
    assert names() == ["optical.tif", "sar.registered.tif", "sar.tif"]


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_whenever_the_disk_fails_the_old_outputs_stay_and_nothing_else(cli, pair, monkeypatch, fault):
    assert cli("register", *pair).code == 0
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    steps = []
    monkeypatch.setattr("xmatch.io.writing.atomic.step", steps.append)
    cli("register", *pair, "--overwrite")
    moments = len(steps) - steps.count("rename") + 1  # a rename that fails after others is beyond any program
    for path, data in before.items():
        Path(path).write_bytes(data)

    for moment in range(moments):
        countdown = iter(range(moment, -1, -1))

        def fail(name, countdown=countdown):
            if next(countdown) == 0:
                raise OSError(fault, os.strerror(fault))

        monkeypatch.setattr("xmatch.io.writing.atomic.step", fail)
        assert cli("register", *pair, "--overwrite").code == 5
        assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_skip_existing_repeats_the_earlier_verdict_without_work(cli, pair, behave):
    behave("untrusted")
    assert cli("register", *pair).code == 4
    behave("bug")
    result = cli("register", *pair, "--skip-existing", "--json")
    assert (result.code, result.json["ok"]) == (4, False)


def test_a_report_replays_its_run(cli, pair, monkeypatch):
    cli("register", *pair, "--transform", "affine", "--seed", "5", "--moving-band", "1")
    seen = []
    monkeypatch.setattr("xmatch.registration.pipeline.register", lambda *args: seen.append(args[2]) or 1 / 0)
    cli("register", *pair, "--recipe", "sar.registered.report.json", "-o", "again.tif")
    assert (seen[0].transform, seen[0].seed) == ("affine", 5)


def test_the_report_records_how_it_came_about(cli, pair):
    document = cli("register", *pair, "--json", "--max-angle", "20").json
    provenance = document["provenance"]
    assert provenance["options"]["max_angle"] == 20
    assert provenance["versions"]["numpy"] == np.__version__
    assert document["moving"]["sha256"].startswith("sha256:")


def test_dry_run_writes_nothing_and_names_the_files(cli, pair, behave):
    behave("bug")
    before = names()
    planned = cli("register", *pair, "--dry-run", "--json").json
    assert planned["grid"]["width"] == 48
    assert planned["files"] == ["sar.registered.tif", "sar.registered.report.html", "sar.registered.report.json"]
    assert names() == before
    assert "48 x 40" in cli("register", *pair, "--dry-run").out


def test_dry_run_fails_as_the_run_would(cli, pair):
    assert cli("register", "optical.tif", "none.tif", "--dry-run").code == 3
    assert cli("register", *pair, "-o", "sar.tif/x.tif", "--dry-run").code == 5


@pytest.mark.parametrize("name", ["été ☀.tif", "two words.tif", "new\nline.tif", "-leading.tif", "%s{0}.tif"])
def test_file_names_of_all_kinds_work(cli, pair, name):
    shutil.move("sar.tif", name)
    result = cli("register", "--json", "--", "optical.tif", name)
    assert result.code == 0
    assert result.json["moving"]["path"] == name
    assert result.json["output"] == name.replace(".tif", ".registered.tif")
    assert result.out.isascii() and Path(result.json["output"]).exists()
    assert all(not line.startswith("line") for line in result.err.splitlines())
