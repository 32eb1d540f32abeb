"""The table of faults that `make mutants` plants stays true to the package: see benchmarks/mutants.py."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    from mutants import load_table, places
finally:
    sys.path.remove(str(ROOT / "benchmarks"))

TABLE = load_table()


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.name)
def test_each_fault_has_one_place_in_the_package_and_tests_that_are_there(mutant):
    assert len(places(mutant)) == 1, f"{mutant.find!r} is stale: find what it has become, or another fault like it"
    assert mutant.find != mutant.replace
    for name in mutant.tests:
        path, _, test = name.partition("::")
        assert (ROOT / path).exists(), f"{path} is gone"
        assert f"def {test}(" in (ROOT / path).read_text() if test else True, f"{name} is gone"


def test_no_two_faults_have_one_name():
    assert not [name for name, count in Counter(mutant.name for mutant in TABLE).items() if count > 1]
