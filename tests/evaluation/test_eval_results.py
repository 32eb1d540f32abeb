"""Every committed benchmark number has its certificate, and the page of benchmarks holds no other numbers."""

from __future__ import annotations

import copy
import json
import re

import jsonschema
import pytest

from benchmarks.write_tables import PAGE, RESULTS, ROOT, overview, page, read
from xmatch.datasets import DATASETS

SCHEMA = json.loads((ROOT / "benchmarks" / "results.schema.json").read_text())
COMMITTED = read()


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_result_has_its_certificate(name):
    jsonschema.validate(COMMITTED[name], SCHEMA)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_result_holds_no_picture_and_no_folder_of_anybody(name):
    text = (RESULTS / f"{name}.json").read_text()
    assert "data:image" not in text
    commands = [run["command"] for run in COMMITTED[name]["certificate"]["runs"]]
    assert not [word for command in commands for word in re.split(r"[\s=]+", command) if word.startswith(("/", "~"))]


@pytest.mark.parametrize("name", COMMITTED)
def test_the_controls_are_in_it_and_truth_scores_full(name):
    matchers = COMMITTED[name]["matchers"]
    assert {"identity", "centre", "border-fit", "truth"} <= set(matchers)
    assert all(each["value"] == pytest.approx(100) for each in matchers["truth"]["mean"]["auc"].values())


def test_there_is_something_to_show():
    assert COMMITTED


def test_the_page_is_what_the_results_say():
    assert PAGE.read_text(encoding="utf-8") == page(COMMITTED), "make bench"


@pytest.mark.parametrize("lost", ["commit", "command", "hardware", "versions", "code_sha256"])
def test_a_result_without_a_part_of_its_certificate_is_noticed(lost):
    document = copy.deepcopy(next(iter(COMMITTED.values())))
    del document["certificate"]["runs"][0][lost]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value"), [("commit", "0123456789abcdef0123456789abcdef01234567-dirty"), ("code_sha256", "unknown")]
)
def test_a_result_of_code_that_nobody_can_get_is_noticed(key, value):
    document = copy.deepcopy(next(iter(COMMITTED.values())))
    document["certificate"]["runs"][0][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_results_on_the_same_pairs_stand_side_by_side_best_first_and_controls_once():
    text = overview("srif-crop", COMMITTED)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    names = [row[0].removeprefix("| ") for row in rows]
    assert names.count("truth") == 1 and {"auto", "rift", "mutual-information"} <= set(names)
    shares = [float(row[-3]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert overview("no such pairs", COMMITTED) == ""


def test_the_table_of_data_sets_names_all_that_can_be_read():
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == set(DATASETS)
