import sys
from pathlib import Path

import pytest

from xmatch.cli.outputs import Targets, Writing, default_output, unreliable
from xmatch.errors import UsageError


@pytest.mark.parametrize(
    ("moving", "expected"),
    [
        ("data/sar.tif", "sar.registered.tif"),
        ("scan.ome.tif", "scan.registered.ome.tif"),
        ("photo.2024.jpg", "photo.2024.registered.tif"),
        ("-odd name.TIFF", "-odd name.registered.tif"),
        (".tif", ".tif.registered.tif"),
    ],
)
def test_the_result_is_named_after_moving_in_the_current_directory(moving, expected):
    assert default_output(moving) == Path(expected)


def test_an_unreliable_result_says_so_before_its_suffix():
    assert unreliable(Path("a/sar.registered.ome.tif")) == Path("a/sar.registered.unreliable.ome.tif")
    assert unreliable(Path("a/points.csv")) == Path("a/points.unreliable.csv")


def test_reports_stand_beside_the_raster():
    targets = Targets.of("sar.tif", Writing(output="out/map.tif"))
    assert (targets.html, targets.json) == (Path("out/map.report.html"), Path("out/map.report.json"))


def test_a_rejected_run_leaves_its_report_only():
    targets = Targets.of("sar.tif", Writing(gcps="g.tif"))
    assert targets.paths(trusted=False) == [targets.html, targets.json]
    assert unreliable(targets.raster) in targets.paths(trusted=False, keep=True)


@pytest.mark.parametrize("writing", [Writing(points="a.tif", gcps="a.tif"), Writing(output="a.tif", vrt="./a.tif")])
def test_two_outputs_cannot_share_a_name(writing):
    with pytest.raises(UsageError):
        Targets.of("sar.tif", writing)


@pytest.mark.parametrize("name", ["out.png", "out", "out.jp2"])
def test_the_raster_is_a_tiff(name):
    with pytest.raises(UsageError):
        Targets.of("sar.tif", Writing(output=name))


@pytest.mark.parametrize(
    "line", ["register optical.tif sar.tif --tfm t.tfm", "apply t.tfm sar.tif --fixed optical.tif"]
)
def test_tfm_files_need_the_extra_itk(cli, pair, monkeypatch, tmp_path, line):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)  # as if it were not installed
    monkeypatch.setattr("xmatch.registration.pipeline.register", lambda *given: pytest.fail("nothing is computed"))
    found = cli(*line.split())
    assert found.code == 2 and "pip install 'xmatch[itk]'" in found.err
    assert {path.name for path in tmp_path.iterdir()} == {"optical.tif", "sar.tif"}
