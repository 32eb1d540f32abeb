"""`xmatch align`: each image onto the reference, one document and one page for all of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fakes import registration, write_image

from xmatch.errors import ExitCode
from xmatch.geometry import translation
from xmatch.report import read_report

NAMES = [f"date{k}.tif" for k in range(4)]


@pytest.fixture
def dates(tmp_path, monkeypatch):
    """Four images in the current directory, each 2 px right of the one before."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(NAMES):
        write_image(Path(name), seed=k)
    return NAMES


@pytest.fixture
def say(monkeypatch):
    """Choose how pairs end: say({(1, 2): "untrusted", (0, 3): 9.0}) of some (fixed, moving), px that the map is off."""

    def choose(wrong=None):
        def register(fixed, moving, options, progress=None):
            one, other = (NAMES.index(os.path.basename(source.header.path)) for source in (fixed, moving))
            said = (wrong or {}).get((one, other), 0.0)
            shift = 2.0 * (other - one) + (said if isinstance(said, float) else 0)
            return registration(fixed, moving, accepted=said != "untrusted", transform=translation(shift, 0))

        monkeypatch.setattr("xmatch.registration.pipeline.register", register)

    choose()
    return choose


def test_each_image_lies_on_the_grid_of_the_reference(cli, dates, say):
    result = cli("align", *dates, "-o", "out/", "--json")
    assert result.code == ExitCode.OK
    outputs = [image["output"] for image in result.json["images"]]
    assert outputs == [None, *(f"out/date{k}.registered.tif" for k in (1, 2, 3))]
    for k in (1, 2, 3):
        with rasterio.open(outputs[k]) as laid, rasterio.open(dates[k]) as own:
            assert np.array_equal(laid.read(1)[:, 2 * k :], own.read(1)[:, : -2 * k])
    assert {str(path) for path in Path("out").iterdir()} == set(result.json["files"])


def test_the_document_says_who_is_tied_to_whom(cli, dates, say):
    say({(1, 2): 9.0})
    document = cli("align", *dates, "-o", "out", "--json").json
    assert document["schema"] == "xmatch.align/1" and document["ok"] and document["reference"] == 0
    assert json.loads(Path("out/align.json").read_text()) == document
    assert {(p["fixed"], p["moving"]): p["state"] for p in document["pairs"] if p["state"] != "used"} == {
        (1, 2): "disagrees"
    }
    open_loops = [loop["images"] for loop in document["loops"] if loop["off_px"] > 3]
    assert open_loops == [[0, 1, 2], [1, 2, 3]]


def test_the_page_draws_the_graph_and_names_what_is_left_out(cli, dates, say):
    say({(1, 2): 9.0, (0, 3): "untrusted"})
    cli("align", *dates, "-o", "out")
    page = Path("out/align.html").read_text()
    assert page.count("<line ") == 6 and page.count("<circle ") == 1 + 4  # the sign of the verdict, and the images
    assert "date2.tif on date1.tif: contradicted by loops, left out 9" in page
    assert 'href="date1.registered.report.html"' in page and "default-src 'none'" in page


def test_a_file_name_cannot_break_out_of_the_page(cli, dates, say):
    odd = "<b>&.tif"
    NAMES.append(odd)
    try:
        write_image(Path(odd))
        cli("align", *dates)
        page = Path("align.html").read_text()
    finally:
        NAMES.remove(odd)
    assert "<b>&" not in page and "&lt;b&gt;&amp;.tif" in page


def test_reports_of_single_images_are_for_apply(cli, dates, say):
    cli("align", *dates)
    document = read_report("date3.registered.report.json")
    assert document["verdict"]["accepted"] and "loops confirm" in document["verdict"]["reason"]
    assert cli("apply", "date3.registered.report.json", "date3.tif", "-o", "again.tif").code == ExitCode.OK
    with rasterio.open("again.tif") as again, rasterio.open("date3.registered.tif") as first:
        assert np.array_equal(again.read(), first.read())


def test_an_image_without_a_trusted_pair_leaves_a_report_and_no_raster(cli, dates, say):
    say({(k, 3): "untrusted" for k in range(3)})
    result = cli("align", *dates, "--json")
    assert result.code == ExitCode.BATCH and not result.json["ok"]
    assert Path("date3.registered.report.html").exists() and not Path("date3.registered.tif").exists()
    assert Path("date2.registered.tif").exists()
    assert "None of its 3 pairs is trusted" in result.err


def test_a_group_that_nothing_ties_together_is_not_to_be_trusted(cli, dates, say):
    say({(j, k): "untrusted" for j in range(4) for k in range(4)})
    result = cli("align", *dates)
    assert result.code == ExitCode.UNTRUSTED
    assert not list(Path().glob("*.registered.tif")) and Path("align.json").exists()


def test_the_reference_may_be_any_of_the_images(cli, dates, say):
    document = cli("align", *dates, "--reference", "./date2.tif", "--transform-only", "--json").json
    assert document["reference"] == 2 and document["images"][2]["output"] is None
    assert document["images"][0]["transform"]["matrix"][0][2] == pytest.approx(-4)
    assert not list(Path().glob("*.registered.tif"))


def test_a_dry_run_names_pairs_and_files_and_writes_nothing(cli, dates, say):
    before = set(Path().iterdir())
    plan = cli("align", *dates, "--pairs-per-image", 1, "--dry-run", "--json").json
    assert [(pair["fixed"], pair["moving"]) for pair in plan["pairs"]] == list(zip(NAMES, NAMES[1:], strict=False))
    assert plan["files"][-2:] == ["align.html", "align.json"] and set(Path().iterdir()) == before
    assert "would write align.json" in cli("align", *dates, "--dry-run").out


def test_nothing_is_replaced_unless_asked(cli, dates, say):
    assert cli("align", *dates).code == ExitCode.OK
    assert cli("align", *dates).code == ExitCode.OUTPUT
    assert cli("align", *dates, "--overwrite").code == ExitCode.OK


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["date0.tif"], ExitCode.USAGE),
        (["date0.tif", "date1.tif", "--reference", "date2.tif"], ExitCode.USAGE),
        (["date0.tif", "date1.tif", "date1.tif"], ExitCode.USAGE),
        (["date0.tif", "date1.tif", "--max-memory", "much"], ExitCode.USAGE),
        (["date0.tif", "none.tif"], ExitCode.INPUT),
        (["date0.tif", "date1.tif", "-o", "date2.tif"], ExitCode.OUTPUT),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(cli, dates, monkeypatch, words, code):
    monkeypatch.setattr("xmatch.registration.pipeline.register", None)
    result = cli("align", *words)
    assert (result.code, result.out) == (code, "") and len(result.err.splitlines()) == 1
