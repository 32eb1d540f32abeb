"""All four extension points find what an installed package declares: here a distribution made up on sys.path."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.report.report_cases import registration
from xmatch.errors import UsageError
from xmatch.geometry import transform_from_dict
from xmatch.io.transforms.files import read_transform
from xmatch.matchers.registry import load_matcher
from xmatch.report import form_of, registration_document, write_reports
from xmatch.synth.modalities import load_modality, modality_names

MODULE = """
class Built:
    name, wants_colour = "outside", False
    def __init__(self, *given):
        self.given = given

class Mirrored:
    kind, matrix = "mirrored", None
    def __init__(self, data):
        self.width = data["width"]
    def __call__(self, xy):
        return xy * (-1, 1) + (self.width, 0)

def as_text(document, previews):
    return "verdict: " + str(document["verdict"]["accepted"])

def fails(*given):
    raise RuntimeError("no licence")
"""

ENTRY_POINTS = """
[xmatch.matchers]
outside = outside_xmatch:Built
broken = outside_xmatch:fails
absent = outside_xmatch:nothing_of_that_name
sift = outside_xmatch:Built

[xmatch.modalities]
outside = outside_xmatch:Built

[xmatch.transforms]
mirrored = outside_xmatch:Mirrored

[xmatch.report_writers]
txt = outside_xmatch:as_text
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    (tmp_path / "outside_xmatch.py").write_text(MODULE)
    facts = tmp_path / "outside_xmatch-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-xmatch\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_matcher_gets_the_arguments_of_ours(installed):
    assert load_matcher("outside", "w.safetensors", "cpu", "d.pth").given == ("w.safetensors", "cpu", "d.pth")


def test_a_modality_is_built_and_listed(installed):
    assert load_modality("outside").given == () and "outside" in modality_names()


def test_a_transform_is_read_from_its_json(installed, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({"transform": {"kind": "mirrored", "width": 10}}))
    assert np.array_equal(read_transform(tmp_path / "t.json")(np.array([[1.0, 2.0]])), [[9.0, 2.0]])


def test_a_report_is_written_in_the_form_that_its_suffix_names(installed, tmp_path):
    document = registration_document(registration(), output=None)
    write_reports(document, None, tmp_path / "r.json", tmp_path / "r.txt", overwrite=False)
    assert (tmp_path / "r.txt").read_text() == "verdict: True"
    assert json.loads((tmp_path / "r.json").read_text())["ok"] is True


def test_without_the_package_none_of_them_is_known():
    for unknown in (lambda: load_matcher("outside"), lambda: load_modality("outside"), lambda: form_of("r.txt")):
        with pytest.raises(UsageError, match="there is no"):
            unknown()
    with pytest.raises(ValueError, match="its kind must be one of"):
        transform_from_dict({"kind": "mirrored", "width": 10})


def test_what_is_built_in_is_not_replaced(installed):
    assert load_matcher("sift").name == "sift"


@pytest.mark.parametrize(("name", "reason"), [("broken", "no licence"), ("absent", "nothing_of_that_name")])
def test_a_plug_in_that_fails_is_named_with_its_reason(installed, name, reason):
    with pytest.raises(UsageError, match=f"{name}.*outside_xmatch.*{reason}"):
        load_matcher(name)
