"""All data sets by name, in the order of tasks, and each in docs/datasets.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xmatch.datasets import DATASETS, dataset_names, load_dataset
from xmatch.datasets.registry import TASKS
from xmatch.errors import InputError, UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


def test_names_are_ordered_by_task():
    tasks = [DATASETS[name].task for name in dataset_names()]
    assert set(tasks) <= set(TASKS) and tasks == sorted(tasks, key=TASKS.index)


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(UsageError) as caught:
        load_dataset("srfi")
    assert all(name in caught.value.hint for name in dataset_names())


def test_the_page_has_one_row_for_every_data_set_and_no_other():
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_says_what_it_wants_and_where_one_gets_it(name):
    assert DATASETS[name].name == name
    assert DATASETS[name].layout and DATASETS[name].source


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_no_data_set(name, tmp_path):
    with pytest.raises(InputError):
        DATASETS[name].read(tmp_path)
