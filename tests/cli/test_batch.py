"""`xmatch register --pairs`: one JSON line a pair, failed ones included."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import trusted, untrusted, write_image


@pytest.fixture
def folder(pair):
    """Two more moving images; b.tif is never to be trusted."""
    for name in ("a.tif", "b.tif", "c.tif"):
        write_image(Path(name), seed=ord(name[0]))


@pytest.fixture
def doubtful(folder, monkeypatch):
    def register(fixed, moving, options, progress=None):
        return (untrusted if moving.header.path == "b.tif" else trusted)(fixed, moving, options)

    monkeypatch.setattr("xmatch.registration.pipeline.register", register)


def listed(text: str) -> list[str]:
    Path("list.csv").write_text(text)
    return ["register", "--pairs", "list.csv"]


def lines(result) -> list[dict]:
    return [json.loads(line) for line in result.out.splitlines()]


def test_a_batch_of_trusted_pairs_ends_with_0(cli, folder):
    result = cli(*listed("fixed,moving,output\noptical.tif,a.tif,\noptical.tif,b.tif,named.tif\n"))
    assert result.code == 0
    assert [(line["index"], line["ok"], line["output"]) for line in lines(result)] == [
        (0, True, "a.registered.tif"),
        (1, True, "named.tif"),
    ]
    assert Path("a.registered.tif").exists() and Path("named.report.json").exists()


def test_a_failed_pair_stops_the_batch(cli, folder):
    result = cli(*listed("optical.tif,none.tif\noptical.tif,a.tif\n"))
    assert result.code == 8
    assert [(line["index"], line["exit_code"]) for line in lines(result)] == [(0, 3)]
    assert not Path("a.registered.tif").exists()


def test_keep_going_keeps_going(cli, folder):
    result = cli(*listed("optical.tif,none.tif\noptical.tif,a.tif\n"), "--keep-going")
    assert result.code == 8
    assert [(line["index"], line["exit_code"]) for line in lines(result)] == [(0, 3), (1, 0)]
    assert lines(result)[0]["error"]["path"] == lines(result)[0]["moving"]["path"] == "none.tif"


def test_an_untrusted_pair_counts_as_failed_with_its_own_code_and_stops_nothing(cli, doubtful):
    result = cli(*listed("optical.tif,b.tif\noptical.tif,c.tif\n"))
    assert result.code == 8
    assert [line["exit_code"] for line in lines(result)] == [4, 0]


def test_pairs_come_from_stdin_too(cli, folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"optical.tif,a.tif\n")))
    assert len(lines(cli("register", "--pairs", "-"))) == 1


def test_the_output_option_is_the_folder(cli, folder):
    Path("out").mkdir()
    assert cli(*listed("optical.tif,a.tif\n"), "-o", "out").code == 0
    assert Path("out/a.registered.tif").exists()


@pytest.mark.parametrize("second", ["a.tif", "sub/a.tif", "c.tif,a.registered.tif"])
def test_two_pairs_cannot_write_one_file(cli, folder, second):
    result = cli(*listed(f"optical.tif,a.tif\noptical.tif,{second}\n"), "--overwrite")
    assert (result.code, result.out) == (2, "")
    assert not Path("a.registered.tif").exists()


def test_a_malformed_list_does_no_work(cli, folder):
    assert cli(*listed("optical.tif,a.tif\noptical.tif\n")).code == 2
    assert not Path("a.registered.tif").exists()


def test_outputs_for_a_single_file_are_refused(cli, folder):
    for option in ("--report", "--gcps", "--points", "--vrt", "--tfm", "--displacement", "--error-map"):
        assert cli(*listed("optical.tif,a.tif\n"), option, "x.tif").code == 2


def test_a_second_run_skips_what_is_there(cli, doubtful):
    args = listed("optical.tif,a.tif\noptical.tif,b.tif\n")
    assert cli(*args).code == 8
    written = Path("a.registered.tif").stat().st_mtime_ns
    again = lines(cli(*args, "--skip-existing"))
    assert [(line["skipped"], line["exit_code"]) for line in again] == [(True, 0), (True, 4)]
    assert Path("a.registered.tif").stat().st_mtime_ns == written


def test_a_batch_ends_with_its_counts_and_a_page_of_all_pairs(cli, doubtful):
    result = cli(*listed("optical.tif,a.tif\noptical.tif,b.tif\noptical.tif,none.tif\n"), "-o", "out", "--keep-going")
    assert result.err.splitlines()[-2:] == [
        "3 pairs: 1 trusted, 1 not trusted, 1 failed (exit codes: 1 x 3)",
        "wrote out/list.overview.html",
    ]
    page = Path("out/list.overview.html").read_text()
    assert 'href="a.registered.report.html"' in page and 'href="b.registered.report.html"' in page
    assert "none.tif" in page and "no such file" in page and page.count("data:image/jpeg") == 4
    assert Path("out/a.registered.report.html").exists()


def test_pairs_that_were_not_tried_are_counted_too(cli, folder):
    result = cli(*listed("optical.tif,none.tif\noptical.tif,a.tif\n"))
    assert "2 pairs: 1 failed, 1 not tried (exit codes: 1 x 3)" in result.err
    assert "Not tried" in Path("list.overview.html").read_text()


def test_an_earlier_overview_stays_unless_told(cli, folder):
    args = listed("optical.tif,a.tif\n")
    Path("list.overview.html").write_text("mine")
    assert "stays" in cli(*args).err and Path("list.overview.html").read_text() == "mine"
    assert cli(*args, "--skip-existing").code == 0
    assert "a.registered.report.html" in Path("list.overview.html").read_text()


def test_a_dry_run_counts_and_writes_nothing(cli, folder):
    result = cli(*listed("optical.tif,a.tif\noptical.tif,none.tif\n"), "--dry-run", "--keep-going")
    assert "2 pairs: 1 could be registered, 1 failed" in result.err
    assert not list(Path().glob("*.html"))
