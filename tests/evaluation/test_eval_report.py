"""What is written beside the JSON: tables, curves and the page."""

from __future__ import annotations

import csv
import io
import json
import re

import cv2
import numpy as np
import pytest

from xmatch.cli.runtime import run
from xmatch.correspondences import Correspondences
from xmatch.errors import ExitCode
from xmatch.evaluation import EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.curves import charts
from xmatch.evaluation.page import render_page
from xmatch.evaluation.pictures import pictures
from xmatch.evaluation.tables import CSV_COLUMNS, cell, csv_text, markdown, tables
from xmatch.geometry import translation
from xmatch.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Line, chart
from xmatch.result import Registration, Verdict

MATCHERS = ("truth", "identity", "border-fit", "structural")


def stand_in(fixed, moving, options):
    """Always 1 px to the right, which is 1 px off where nothing has moved."""
    nothing = np.zeros(0)
    verdict = Verdict(True, 0.9, "as told")
    return Registration({}, {}, translation(1, 0), Correspondences.empty(), nothing.astype(bool), nothing, verdict)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(document, tasks, predictions, recipe) of two sets, one named so that it must be escaped."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    for place, name in enumerate(("near", "<b>far")):
        (folder / name).mkdir()
        rows = []
        for i in range(3):
            small = rng.integers(40, 255, (6, 8, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / name / f"{i}.png"), cv2.resize(small, (48, 36), interpolation=cv2.INTER_LINEAR))
            matrix = [[1, 0, 2 * i + 10 * place], [0, 1, 0], [0, 0, 1]]
            rows.append({"fixed": f"{i}.png", "moving": f"{i}.png", "moving_to_fixed": matrix})
        text = "".join(json.dumps({**row, "pixel_origin": "corner"}) + "\n" for row in rows)
        (folder / name / "pairs.jsonl").write_text(text)
    recipe = EvalRecipe(("near/pairs.jsonl", "<b>far/pairs.jsonl"), matchers=MATCHERS, controls=False)
    found, tasks = {}, plan(recipe, folder)
    for method in methods(recipe):
        found[method] = folder / f"{method.file_name}.jsonl"
        predict(
            tasks,
            recipe,
            found[method],
            certificate={"command": "by hand"},
            data_sha256="d",
            method=method,
            register=stand_in,
        )
    return results_document(found, recipe), tasks, found, recipe


def test_there_is_a_table_a_set_and_one_of_the_mean(measured):
    found = tables(measured[0])
    assert [table.title for table in found] == ["<b>far", "near", "mean over 2 sets", "all pairs together"]
    assert [row[0] for row in found[0].rows] == list(MATCHERS)
    assert all(len(row) == len(table.heads) for table in found for row in table.rows)
    identity = dict(zip(found[1].heads, found[1].rows[1], strict=True))
    # 0, 2 and 4 px off: all below 5 px, two of three below 3 px.
    assert identity["<5 px %"].startswith("100 (") and identity["<3 px %"].startswith("66.7 (")
    assert identity["median px"] == "2" and identity["n"] == "3" and identity["failed"] == "0"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (3, "3"), (2.0, "2"), (0.12345, "0.123"), (9.876, "9.88"), (61.25, "61.2")]
)
def test_cells_have_few_digits(value, text):
    assert cell(value) == text
    assert cell({"value": value, "interval": [1, 2]}) == f"{text} (1 to 2)"
    assert cell({"value": value, "interval": [1, 2]}, intervals=False) == text


def test_markdown_is_made_of_whole_lines_and_no_tags(measured):
    text = markdown(measured[0])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 * (len(MATCHERS) + 2) and len({row.count("|") for row in rows}) == 1
    assert "<b>" not in text and "&lt;b>far" in text


def test_every_number_of_the_csv_is_a_number_of_the_document(measured):
    rows = list(csv.DictReader(io.StringIO(csv_text(measured[0]))))
    assert tuple(rows[0]) == CSV_COLUMNS
    wanted = {"set": "near", "matcher": "identity", "metric": "success", "threshold": "3"}
    (row,) = [row for row in rows if {key: row[key] for key in wanted} == wanted]
    success = measured[0]["matchers"]["identity"]["sets"]["near"]["success"]["3"]
    assert float(row["value"]) == success["value"]
    assert [float(row["low"]), float(row["high"])] == success["interval"]


def test_a_point_is_drawn_where_the_axes_say():
    (line,) = chart("", "", Axis("", 0, 10), Axis("", 0, 100), [Line("a", [(0, 0), (5, 50), (20, 100)])]).lines
    right, middle = WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2
    bottom = HEIGHT - BOTTOM
    assert line.path == f"M{LEFT} {bottom}L{middle} {(TOP + bottom) / 2}L{right} {TOP}"


def test_axes_have_round_ticks():
    assert Axis("", 0, 20).ticks() == [0, 5, 10, 15, 20]
    assert Axis("", 0, 180).ticks() == [0, 50, 100, 150]
    assert Axis("", 0.1, 100, log=True).ticks() == pytest.approx([0.1, 1, 10, 100])
    assert Axis("", 0.25, 4, log=True).ticks() == [0.25, 0.5, 1, 2, 4]
    assert Axis("", 0.25, 4, log=True).place(1) == pytest.approx(0.5)


def test_the_cumulative_curve_ends_at_the_share_of_pairs_below_the_last_threshold(measured):
    (found,) = [each for each in charts(measured[0]) if each.title.startswith("Error")]
    truth, border = (next(line for line in found.lines if line.name == name) for name in ("truth", "border-fit"))
    assert truth.dashed and truth.path.endswith(f"L{WIDTH - RIGHT} {TOP}")
    assert border.path.endswith(f"L{WIDTH - RIGHT} {HEIGHT - BOTTOM}")


def test_the_page_needs_nothing_else_and_escapes_names(measured):
    page = render_page(*measured[:1], pictures(*measured))
    assert "<b>far" not in page and "&lt;b&gt;far" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page) and "<script" not in page
    assert page.count("<svg") == len(charts(measured[0])) >= 2
    assert page.count("data:image/jpeg") == 2


def test_pictures_are_of_the_median_and_the_worst_pair_of_what_is_no_control(measured):
    found = pictures(*measured)
    assert [(p.matcher, p.what) for p in found] == [("structural", "median"), ("structural", "worst")]
    pairs = measured[0]["matchers"]["structural"]["pairs"]
    errors = [pair["corner_error_px"] for pair in pairs if pair["corner_error_px"] is not None]
    assert found[1].error == max(errors) and found[0].error <= found[1].error


def test_all_four_files_are_written_or_none(measured, tmp_path, monkeypatch):
    from xmatch.cli import app

    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.random.default_rng(0).integers(0, 255, (30, 40), dtype=np.uint8))
    row = {"fixed": "a.png", "moving": "a.png", "moving_to_fixed": np.eye(3).tolist(), "pixel_origin": "corner"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "r.yaml").write_text("manifest: [pairs.jsonl]\nmatchers: [identity]\n")
    (tmp_path / "out.csv").write_text("precious")
    words = ["eval", "r.yaml", "-q", "--no-pictures", "-o"]
    assert run(app, [*words, "out.json"]) == ExitCode.OUTPUT
    assert run(app, [*words, "out.html"]) == ExitCode.USAGE
    assert {path.name for path in tmp_path.glob("out*")} == {"out.csv"}
    assert run(app, [*words, "new.json"]) == ExitCode.OK
    assert {path.suffix for path in tmp_path.glob("new.*") if "predictions" not in path.name} == {
        ".json",
        ".md",
        ".csv",
        ".html",
    }
    assert "data:image/jpeg" not in (tmp_path / "new.html").read_text()
