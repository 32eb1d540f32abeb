"""The page of an adaptation: better or not first, curves that end where the numbers do, nothing from elsewhere."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from xmatch.report.adaptation import charts, curves, render_adaptation
from xmatch.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

HISTORY = [
    {"step": "10", "tau": "0.5", "positive_share": "0.2", "supervised": "3.0", "unsupervised": ""},
    {"step": "20", "tau": "0.6", "positive_share": "0.4", "supervised": "2.0", "unsupervised": "1.0"},
]
VALIDATION = [
    {"step": 0, "modalities": "held out, unlabelled", "score": 60.0},
    {"step": "20", "modalities": "held out, unlabelled", "score": "70.5", "within_3px": ""},
    {"step": "20", "modalities": "held out, truth known", "score": "40", "within_3px": "0.25"},
]


def told(better: bool = True) -> dict:
    return {
        "schema": "xmatch.adapt/1",
        "better": better,
        "reason": "Held-out pairs score <more>.",
        "output": "adapted.safetensors",
        "evidence": "held-out unlabelled pairs",
        "before": {"step": 0, "score": 60.0},
        "best": {"step": 20, "score": 70.5},
        "gain": {"mean": 10.5, "interval": [2.25, 18.75], "count": 8, "over": "pairs"},
        "verdicts": {"before": 2, "after": 5, "of": 8},
        "step": 20,
        "steps": 20,
        "minutes": 1.5,
        "pairs": {"labelled": ["a", "b"], "unlabelled": 12, "registered": 5, "held_out": ["c"]},
        "skipped": [{"where": "pairs.jsonl row 7", "reason": "<script>alert(1)</script>"}],
        "base": {"name": "tiny", "path": "tiny.safetensors", "sha256": "ab" * 32},
        "recipe": {"steps": 20, "pseudo": "pl-f", "threshold": {"kind": "fixed", "momentum": 0.9}},
        "command": ["xmatch", "adapt", "pairs"],
    }


def overlay() -> SimpleNamespace:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    return SimpleNamespace(name="pair <c>", fixed=image, moving=image, before=image, after=image)


def test_the_page_says_first_whether_it_is_better():
    for better, words in ((True, "The adapted weights match better."), (False, "Keep the weights that you had.")):
        page = render_adaptation(told(better), HISTORY, VALIDATION, [overlay()])
        assert words in page and page.index(words) < page.index("The course of it")
        assert ("Written to" in page) == better


def test_the_gain_stands_with_its_interval():
    assert "interval 2.25 to 18.8 over 8 pairs" in render_adaptation(told())
    alone = {**told(), "gain": {"mean": 10.5, "interval": None, "count": 1, "over": "views"}}
    assert "one view: no interval" in render_adaptation(alone)


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given():
    page = render_adaptation(told(), HISTORY, VALIDATION, [overlay()])
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page and "pair &lt;c&gt;" in page
    assert all(source.startswith("data:") for source in re.findall(r'(?:href|src)="([^"]*)"', page))
    assert page.count("data:image/jpeg") == 4 and "default-src 'none'" in page


def test_the_page_of_a_run_without_curves_or_pictures_has_its_numbers():
    page = render_adaptation({**told(), "verdicts": None})
    assert "70.5" in page and "The course of it" not in page and "Accepted registrations" not in page


def test_the_page_says_what_was_learned_from():
    page = render_adaptation(told())
    assert "2 labelled and 12 unlabelled pairs, 5 of these by their registration" in page
    assert "kind: fixed, momentum: 0.9" in page
    assert "stopped at" not in page and "stopped at step 12" in render_adaptation({**told(), "step": 12})
    none = {**told(), "pairs": {**told()["pairs"], "registered": 0}}
    assert "registration" not in render_adaptation({**none, "verdicts": None})


FLOOR = HEIGHT - BOTTOM


def test_a_curve_spans_steps_and_values():
    drawn = curves("t", HISTORY, {"tau": "threshold", "nothing": "none"})
    (line,) = drawn.lines
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert line.path == f"M{middle} {FLOOR}L{WIDTH - RIGHT} {TOP}" and line.name == "threshold: 0.600"
    assert drawn.y_ticks[0] == (FLOOR, "0.5") and drawn.x_ticks[-1][1] == "20"


def test_empty_cells_are_left_out_and_a_column_without_numbers_has_no_chart():
    drawn = curves("t", HISTORY, {"unsupervised": "loss"})
    # One value alone is a dot in the middle.
    assert drawn.lines[0].dots == ((WIDTH - RIGHT, (TOP + FLOOR) / 2),)
    assert curves("t", HISTORY, {"nothing": "none"}) is None and curves("t", [], {"tau": "t"}) is None


def test_the_score_begins_with_the_untouched_network_and_leaves_known_truths_apart():
    found = {drawn.title: drawn for drawn in charts(HISTORY, VALIDATION)}
    score = found["Held-out score, percent"].lines[0]
    assert score.path.startswith(f"M{LEFT} ") and score.name.endswith(": 70.5")
    known = found["Accuracy where the truth is known, share of cells"].lines
    assert [line.name for line in known] == ["within 3 px: 0.250"]


def test_every_curve_of_a_chart_has_its_colour():
    drawn = curves("t", HISTORY, {"tau": "threshold", "positive_share": "share"})
    assert [line.colour for line in drawn.lines] == [0, 1]


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_a_level_curve_is_drawn_in_the_middle(level):
    drawn = curves("t", [{"step": 1, "v": level}, {"step": 2, "v": level}], {"v": "v"})
    assert f" {(TOP + FLOOR) / 2}L" in drawn.lines[0].path
