"""`xmatch register --reference`: a series of images onto one, as a batch is."""

import json
from pathlib import Path

import pytest
from fakes import untrusted, write_image

from xmatch.errors import ExitCode


@pytest.fixture
def dates(pair):
    """Three more images beside optical.tif and sar.tif."""
    return [write_image(Path(f"date{k}.tif"), seed=k).name for k in range(3)]


def lines(result) -> list[dict]:
    return [json.loads(line) for line in result.out.splitlines()]


def test_each_image_is_laid_onto_the_reference(cli, dates):
    result = cli("register", "--reference", "optical.tif", *dates, "-o", "series/")
    assert result.code == ExitCode.OK
    said = [(line["index"], line["fixed"]["path"], line["moving"]["path"], line["output"]) for line in lines(result)]
    assert said == [(k, "optical.tif", f"date{k}.tif", f"series/date{k}.registered.tif") for k in range(3)]
    assert Path("series/optical.overview.html").exists()


def test_an_untrusted_date_costs_itself_alone(cli, dates, monkeypatch):
    from fakes import trusted

    def register(fixed, moving, options, progress=None):
        return (untrusted if moving.header.path == "date1.tif" else trusted)(fixed, moving, options)

    monkeypatch.setattr("xmatch.registration.pipeline.register", register)
    result = cli("register", "--reference", "optical.tif", *dates)
    assert result.code == ExitCode.BATCH
    assert [line["exit_code"] for line in lines(result)] == [0, 4, 0]


@pytest.mark.parametrize(
    "words",
    [
        ["--reference", "optical.tif"],
        ["--reference", "optical.tif", "--pairs", "list.csv"],
        ["optical.tif", "date0.tif", "--pairs", "list.csv"],
        ["optical.tif"],
        ["optical.tif", "date0.tif", "date1.tif"],
        ["--reference", "optical.tif", "date0.tif", "sub/date0.tif"],
    ],
)
def test_what_is_no_series_is_a_wrong_usage(cli, dates, words):
    result = cli("register", *words)
    assert (result.code, result.out) == (ExitCode.USAGE, "")
