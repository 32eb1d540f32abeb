"""The same list again: what is done stays done, and what was made otherwise is never taken for it."""

import json
import subprocess
from pathlib import Path

import pytest
from fakes import untrusted, write_image

from xmatch.cli import batch
from xmatch.errors import ResourceError

LIST = ("register", "--pairs", "list.csv")


@pytest.fixture
def done(cli, pair):
    """a.tif and b.tif are registered."""
    for name in "ab":
        write_image(Path(f"{name}.tif"), seed=ord(name))
    Path("list.csv").write_text("optical.tif,a.tif\noptical.tif,b.tif\n")
    assert cli(*LIST).code == 0
    return {name: Path(f"{name}.registered.tif").stat().st_mtime_ns for name in "ab"}


def told(result) -> list[tuple[bool | None, int]]:
    """(skipped, exit code) of each pair."""
    return [(line.get("skipped"), line["exit_code"]) for line in map(json.loads, result.out.splitlines())]


def written() -> dict[str, int]:
    return {name: Path(f"{name}.registered.tif").stat().st_mtime_ns for name in "ab"}


def test_what_is_done_is_skipped_and_said_so(cli, done):
    result = cli(*LIST)
    assert (result.code, told(result)) == (0, [(True, 0), (True, 0)]) and written() == done
    assert "2 pairs: 2 trusted; 2 of them by an earlier run" in result.err
    assert "Trusted" in Path("list.overview.html").read_text()


def test_what_is_not_to_be_trusted_is_done_too(cli, done, monkeypatch):
    monkeypatch.setattr("xmatch.registration.pipeline.register", untrusted)
    assert told(cli(*LIST, "--overwrite")) == [(False, 4), (False, 4)]
    assert told(cli(*LIST)) == [(True, 4), (True, 4)]


def test_what_was_not_reached_is_done_now(cli, done):
    write_image(Path("c.tif"))
    Path("list.csv").write_text("optical.tif,a.tif\noptical.tif,c.tif\noptical.tif,b.tif\n")
    assert told(cli(*LIST)) == [(True, 0), (False, 0), (True, 0)]


def test_overwrite_makes_all_again(cli, done):
    assert told(cli(*LIST, "--overwrite")) == [(False, 0), (False, 0)]
    assert all(now != before for now, before in zip(written().values(), done.values(), strict=True))


CHANGES = {
    "MOVING was another file": lambda: write_image(Path("b.tif"), seed=9),
    "is missing": lambda: Path("b.registered.tif").unlink(),
    "another version": lambda: edit(lambda report: report["provenance"]["versions"].update(xmatch="0.0.1")),
    "other options: --max-angle": lambda: edit(lambda report: report["provenance"]["options"].update(max_angle=5)),
    "options name were others": lambda: edit(lambda report: report["provenance"]["option_files"].update(mask="x")),
}


def edit(change) -> None:
    path = Path("b.registered.report.json")
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


@pytest.mark.parametrize("reason", CHANGES)
def test_what_was_made_otherwise_is_neither_skipped_nor_replaced_unless_told(cli, done, reason):
    CHANGES[reason]()
    result = cli(*LIST, "--keep-going")
    assert (result.code, told(result)) == (8, [(True, 0), (None, 5)])
    assert reason in json.loads(result.out.splitlines()[1])["error"]["message"]
    assert told(cli(*LIST, "--skip-existing", "--overwrite")) == [(True, 0), (False, 0)]
    assert told(cli(*LIST)) == [(True, 0), (True, 0)]


def test_a_run_that_was_killed_among_its_last_renames_is_made_up_for(cli, done):
    """The raster has its name already, the report has not: it lies there under that of a process that is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    report = Path("b.registered.report.json")
    cut_off = report.rename(f".{report.name}.{gone.pid}.0123abcd.tmp.json")
    assert told(cli(*LIST)) == [(True, 0), (False, 0)]
    assert report.exists() and not cut_off.exists()


def test_a_raster_that_no_run_has_left_is_never_replaced(cli, done):
    Path("b.registered.report.json").unlink()
    assert told(cli(*LIST)) == [(True, 0), (None, 5)] and written() == done


def test_a_mask_that_changed_under_its_name_is_another_mask(cli, pair):
    def mask(side: int) -> None:
        ring = [[0, 0], [side, 0], [side, side], [0, side], [0, 0]]
        Path("mask.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))

    Path("list.csv").write_text("optical.tif,sar.tif\n")
    mask(20)
    assert told(cli(*LIST, "--mask", "mask.geojson")) == [(False, 0)]
    assert told(cli(*LIST, "--mask", "mask.geojson")) == [(True, 0)]
    mask(30)
    assert told(cli(*LIST, "--mask", "mask.geojson")) == [(None, 5)]


def test_memory_and_threads_make_no_other_result(cli, done):
    assert told(cli(*LIST, "--max-memory", "500M", "--threads", "1")) == [(True, 0), (True, 0)]


def test_a_single_pair_is_left_alone_only_when_told(cli, done):
    assert cli("register", "optical.tif", "a.tif").code == 5
    assert cli("register", "optical.tif", "a.tif", "--skip-existing").code == 0
    write_image(Path("a.tif"), seed=9)
    result = cli("register", "optical.tif", "a.tif", "--skip-existing")
    assert result.code == 5 and "MOVING was another file" in result.err


def test_pairs_that_no_run_has_tried_are_told_when_the_work_breaks_off(cli, done, monkeypatch):
    """As when a cluster goes away: what is done is counted, and the code is that of what went wrong."""

    def breaks(work, items, *_):
        yield items[0], work(items[0])
        raise ResourceError("the cable was pulled")

    monkeypatch.setattr(batch.Workers, "run", lambda self, *args: breaks(*args))
    result = cli(*LIST)
    assert result.code == ResourceError.exit_code and len(result.out.splitlines()) == 1
    assert "2 pairs: 1 trusted, 1 not tried" in result.err and "the cable was pulled" in result.err
