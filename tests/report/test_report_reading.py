"""Reports that were cut, edited or garbled are refused with the name of the field, or are as good as new."""

import copy
import json

import numpy as np
import pytest
from report_cases import registration
from test_report_document import CONTROL, TRANSFORMS

from xmatch.errors import InputError
from xmatch.geometry import DisplacementGrid, transform_from_dict
from xmatch.raster import Georef
from xmatch.report import georef_of, read_report, registration_document, to_json

GARBAGE = (None, True, -1, 1e308, "abc", [], {"a": 1})
PLACE = Georef("EPSG:32633", (10.0, 0.0, 5e5, 0.0, -10.0, 5e6))


def document(kind: str) -> dict:
    made = registration(TRANSFORMS[kind])
    made.fixed["georef"] = vars(PLACE)
    return json.loads(to_json(registration_document(made, output="out.tif")))


def read(tmp_path, content: dict | str) -> dict:
    path = tmp_path / "a.report.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_report(path)


def fields(value, path=()):
    """The path of every field and of the first item of every list."""
    for key, item in value.items() if isinstance(value, dict) else list(enumerate(value))[:1]:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from fields(item, (*path, key))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_report_comes_back_as_it_was_written(tmp_path, kind):
    told = read(tmp_path, document(kind))
    assert told == document(kind)
    assert georef_of(told["fixed"]) == PLACE and georef_of(told["moving"]) is None


def test_nodes_without_a_place_are_null_and_come_back_without_one(tmp_path):
    target = np.full((3, 4, 2), np.nan)
    target[:2] = np.arange(16.0).reshape(2, 4, 2)
    made = registration(DisplacementGrid((0.0, 0.0), (20.0, 20.0), target))
    told = read(tmp_path, to_json(registration_document(made, output="out.tif")))
    assert told["transform"]["target_xy"][2] == [[None, None]] * 4
    np.testing.assert_array_equal(transform_from_dict(told["transform"]).target_xy, target)


@pytest.mark.parametrize(
    ("side", "name", "value"),
    [("fixed", "resolution", [72, 72]), ("moving", "bands", True), ("provenance", "options", {"ignore_georef": "yes"})],
)
def test_what_apply_takes_from_a_report_is_checked(tmp_path, side, name, value):
    broken = document("affine")
    broken[side][name] = value
    with pytest.raises(InputError, match=name):
        read(tmp_path, broken)


@pytest.mark.parametrize("kind", ["homography", "tps", "grid"])
def test_whatever_is_missing_or_garbled_is_refused_or_can_be_used(tmp_path, kind):
    whole, refused = document(kind), 0
    for path in fields(whole if kind == "homography" else {"transform": whole["transform"]}):
        for garbage in (*GARBAGE, "delete"):
            broken = copy.deepcopy(whole)
            holder = broken
            for key in path[:-1]:
                holder = holder[key]
            if garbage == "delete":
                del holder[path[-1]]
            else:
                holder[path[-1]] = garbage
            try:
                told = read(tmp_path, broken)
            except InputError:
                refused += 1
                continue
            assert told["verdict"]["accepted"] in (True, False) and told["verdict"]["reason"] is not None
            georef_of(told["fixed"]), georef_of(told["moving"])
            if told["transform"] is not None:
                transform = transform_from_dict(told["transform"])
                with np.errstate(all="ignore"):
                    transform.inverse(transform(np.array([[1.0, 2.0]])))
    assert refused > 50


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("verdict", None, "verdict"),
        ("transform", {"kind": "tps"}, "transform"),
        ("fixed", {"path": "a.tif", "height": 3}, "'width'"),
        ("moving", {"path": "a.tif", "width": 3, "height": -1}, "moving.height"),
    ],
)
def test_the_field_is_named(tmp_path, name, value, field):
    with pytest.raises(InputError, match=field):
        read(tmp_path, document("similarity") | {name: value})


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999", "1" * 400])
def test_numbers_that_no_float_holds_are_refused(tmp_path, number):
    for kind in ("tps", "grid", "affine"):
        text = json.dumps(document(kind))
        first = {"tps": str(CONTROL[1, 0]), "grid": str(document("grid")["transform"]["step_xy"][0]), "affine": "1.1"}
        assert first[kind] in text
        with pytest.raises(InputError, match="number"):
            read(tmp_path, text.replace(first[kind], number))


def test_transforms_that_cannot_be_turned_round_are_refused(tmp_path):
    for matrix in ([[0, 0, 1], [0, 0, 2], [0, 0, 1]], [[1e9, 0, 0], [0, 1e9, 0], [0, 0, 1]]):
        broken = document("affine")
        broken["transform"]["matrix"] = matrix
        with pytest.raises(InputError, match="transform"):
            read(tmp_path, broken)
