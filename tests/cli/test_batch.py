"""`xmatch register --pairs`: one JSON line a pair, failed ones included."""

import errno
import io
import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import trusted, untrusted, write_image

from xmatch.cli.at_once import pairs_at_once
from xmatch.io.writing.atomic import held
from xmatch.ops.batching import AT_ONCE


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


WRONG_ROWS = ["optical.tif", "optical.tif,a.tif", "optical.tif,sub/a.tif", "optical.tif,c.tif,a.registered.tif"]
"""After one that writes a.registered.tif: no pair, and pairs that would write the same."""


@pytest.mark.parametrize("second", WRONG_ROWS)
def test_a_row_that_is_wrong_is_said_before_any_work(cli, folder, second):
    result = cli(*listed(f"optical.tif,a.tif\n{second}\n"), "--overwrite")
    assert (result.code, result.out) == (2, "")
    assert not Path("a.registered.tif").exists()


@pytest.mark.parametrize("second", WRONG_ROWS)
def test_a_row_that_is_wrong_is_a_failed_pair_where_it_is_to_go_on(cli, folder, second):
    result = cli(*listed(f"optical.tif,a.tif\n{second}\noptical.tif,b.tif\n"), "--keep-going")
    assert result.code == 8
    assert [(line["index"], line["exit_code"]) for line in lines(result)] == [(0, 0), (1, 2), (2, 0)]


def test_a_disk_that_fills_is_a_failure_of_the_pair_that_it_stops(cli, folder, monkeypatch):
    def step(name):
        if any(Path().glob(".b.registered*.tmp*")):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xmatch.io.writing.atomic.step", step)
    result = cli(*listed("optical.tif,a.tif\noptical.tif,b.tif\noptical.tif,c.tif\n"), "--keep-going")
    assert [line["exit_code"] for line in lines(result)] == [0, 5, 0]
    assert "no space" in lines(result)[1]["error"]["message"]
    assert Path("a.registered.tif").exists() and not [name for name in Path().iterdir() if "b.registered" in name.name]


@pytest.mark.parametrize(
    "words", [("--jobs", "1"), ("--cluster", "local"), ("--time-limit", "9"), ("--keep-going",), ("--at-once", "2")]
)
def test_what_is_said_of_many_pairs_is_refused_of_one(cli, folder, words):
    result = cli("register", "optical.tif", "a.tif", *words)
    assert result.code == 2 and words[0] in result.err and not Path("a.registered.tif").exists()


def test_two_runs_of_one_list_into_one_folder_are_one_too_many(cli, folder):
    with held("out/list.batch", "busy"):
        result = cli(*listed("optical.tif,a.tif\n"), "-o", "out")
        assert (result.code, result.out) == (5, "") and "at work on this list" in result.err
    assert cli(*listed("optical.tif,a.tif\n"), "-o", "out").code == 0


def test_outputs_for_a_single_file_are_refused(cli, folder):
    for option in ("--report", "--gcps", "--points", "--vrt", "--tfm", "--displacement", "--error-map"):
        assert cli(*listed("optical.tif,a.tif\n"), option, "x.tif").code == 2


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


GPU = ("--device", "cpu:0")
"""Torch on the CPU stands for one."""


def test_pairs_on_a_gpu_are_under_way_at_once(cli, folder, monkeypatch):
    """Three registrations that wait for each other."""
    all_begun, threads = threading.Barrier(3, timeout=10), set()

    def register(fixed, moving, options, progress=None):
        all_begun.wait()
        threads.add(options.threads)
        return trusted(fixed, moving, options)

    monkeypatch.setattr("xmatch.registration.pipeline.register", register)
    monkeypatch.setattr("xmatch.cli.workers.cores", lambda: 32)
    result = cli(*listed("optical.tif,a.tif\noptical.tif,b.tif\noptical.tif,c.tif\n"), *GPU)
    assert result.code == 0 and sorted(line["index"] for line in lines(result)) == [0, 1, 2]
    assert threads == {2}, "16 at once share the cores"


def test_a_failed_pair_stops_those_beside_it(cli, folder):
    result = cli(*listed("optical.tif,none.tif\noptical.tif,a.tif\noptical.tif,b.tif\n"), *GPU, "--at-once", "2")
    assert result.code == 8 and 3 in [line["exit_code"] for line in lines(result)]
    assert "stopped: " in result.err
    again = cli(*listed("optical.tif,none.tif\noptical.tif,a.tif\n"), *GPU, "--keep-going")
    assert again.code == 8 and sorted(line["exit_code"] for line in lines(again)) == [0, 3]


ALONE = {
    "a CPU": (),
    "processes": ("--device", "cpu:0", "--jobs", "2"),
    "a limit": ("--device", "cpu:0", "--time-limit", "60"),
    "a matcher": ("--device", "cpu:0", "--matcher", "mi"),
    "weights": ("--device", "cpu:0", "--weights", "own.safetensors"),
}


@pytest.mark.parametrize("words", ALONE.values(), ids=ALONE)
def test_nothing_to_share_is_wrong_usage_where_several_are_asked_for(cli, folder, words, monkeypatch):
    monkeypatch.setattr("xmatch.ops.devices._has_driver", lambda: False)
    result = cli(*listed("optical.tif,a.tif\n"), *words, "--at-once", "2")
    assert result.code == 2 and "--at-once 2" in result.err and not Path("a.registered.tif").exists()


def test_on_a_cpu_pairs_go_one_by_one_and_load_no_torch_for_it(monkeypatch):
    monkeypatch.setattr("xmatch.ops.devices._has_driver", lambda: False)
    assert pairs_at_once(None, "auto", {}) == pairs_at_once(1, "cpu", {}) == 1
    assert pairs_at_once(None, "cpu:0", {}) == AT_ONCE and pairs_at_once(3, "cpu:0", {"no": False}) == 3
