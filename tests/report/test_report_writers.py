"""Files of a report: complete or absent, and the same document in each."""

import csv
import io
import json

import pytest
from report_cases import registration, sources

from xmatch.errors import OutputError
from xmatch.geometry import translation
from xmatch.report import REPORT_WRITERS, csv_row, make_previews, registration_document, write_reports


@pytest.fixture(scope="module")
def report():
    made = registration()
    previews = make_previews(*sources(), made)
    return registration_document(made, output="out.tif", previews=previews), previews


@pytest.mark.parametrize("name", REPORT_WRITERS)
def test_every_writer_takes_a_document_with_and_without_pictures(name, report):
    document, previews = report
    for pictures in (previews, None):
        text = REPORT_WRITERS[name](document, pictures)
        assert text.endswith("\n") and "fixed.tif" in text


def test_both_files_are_written_whole(report, tmp_path):
    document, previews = report
    write_reports(document, previews, tmp_path / "r.json", tmp_path / "r.html", False)
    assert json.loads((tmp_path / "r.json").read_text("ascii")) == document
    assert (tmp_path / "r.html").read_text("utf-8") == REPORT_WRITERS["html"](document, previews)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.json"]


def test_a_form_can_be_left_out(report, tmp_path):
    write_reports(*report, tmp_path / "r.json", None, False)
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_an_existing_report_is_kept_unless_told(report, tmp_path):
    old = tmp_path / "r.json"
    old.write_text("old")
    with pytest.raises(OutputError):
        write_reports(*report, old, None, False)
    assert old.read_text() == "old"
    write_reports(*report, old, None, True)
    assert json.loads(old.read_text())["ok"] is True


def test_a_page_that_cannot_be_made_leaves_no_json_either(report, tmp_path):
    document, previews = report
    with pytest.raises(Exception):  # noqa: B017  whatever the template engine raises
        write_reports({**document, "residuals": "spoilt"}, previews, tmp_path / "r.json", tmp_path / "r.html", False)
    assert not list(tmp_path.iterdir())


def test_a_csv_row_holds_the_result_under_its_names():
    made = registration(translation(3.5, -2.0))
    (row,) = csv.DictReader(io.StringIO(csv_row(registration_document(made, output=None))))
    assert (row["fixed"], row["moving"], row["output"]) == ("fixed.tif", "moving.tif", "")
    assert (row["accepted"], row["kind"], row["inliers"]) == ("true", "translation", "45")
    assert [float(row[name]) for name in ("m00", "m02", "m12", "m22")] == [1.0, 3.5, -2.0, 1.0]


def test_csv_rows_stack_under_one_header():
    found = csv_row(registration_document(registration(), output="a,b\n.tif"))
    lost = csv_row(registration_document(registration(None, accepted=False), output=None), header=False)
    rows = list(csv.DictReader(io.StringIO(found + lost)))
    assert [row["output"] for row in rows] == ["a,b\n.tif", ""]
    assert rows[1]["accepted"] == "false" and rows[1]["m00"] == rows[1]["kind"] == ""
