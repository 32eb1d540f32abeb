from pathlib import Path

import pytest

from xmatch.cli.outputs import Targets, Writing, all_or_none, default_output, unreliable
from xmatch.errors import OutputError, UsageError


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


def test_all_outputs_appear_together(tmp_path):
    paths = [tmp_path / "a.tif", tmp_path / "b.html"]
    with all_or_none(paths, overwrite=False) as temporary:
        for path in paths:
            temporary[path].write_text("new")
            assert not path.exists()
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.html"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_when_one_output_fails_the_old_ones_stay(tmp_path, failure):
    paths = [tmp_path / "a.tif", tmp_path / "b.html"]
    paths[0].write_text("old")
    with pytest.raises(failure), all_or_none(paths, overwrite=True) as temporary:
        temporary[paths[0]].write_text("new")
        raise failure
    assert paths[0].read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif"]


def test_a_writer_that_fails_is_reported_under_the_final_name(tmp_path):
    target = tmp_path / "a.tif"
    with pytest.raises(OutputError) as caught, all_or_none([target], overwrite=False) as temporary:
        raise OutputError("no space left", path=temporary[target])
    assert caught.value.path == str(target)
