"""Files of `xmatch eval` hold what their schemas and types say, and nothing else."""

from __future__ import annotations

import json
from importlib import resources
from typing import NotRequired, get_origin, get_type_hints

import cv2
import jsonschema
import numpy as np
import pytest

from benchmarks.write_tables import read
from xmatch.correspondences import Correspondences
from xmatch.evaluation import EvalRecipe, methods, plan, predict, prediction_rows, result_rows, results_document
from xmatch.evaluation.certificate import certificate
from xmatch.geometry import translation
from xmatch.report import document_types
from xmatch.result import Registration, Verdict

FILES = resources.files("xmatch.evaluation")
RESULTS, PREDICTIONS = (
    json.loads(FILES.joinpath(f"{name}.schema.json").read_text()) for name in ("results", "predictions")
)
REGISTRATION = json.loads(resources.files("xmatch.report").joinpath("registration.schema.json").read_text())
COMMITTED = read()


def stand_in(fixed, moving, options):
    """1 px to the right; the second pair ends in a fault."""
    if fixed.header.name.startswith("1"):
        raise ZeroDivisionError
    verdict = Verdict(True, 0.9, "as told", evidence={"overlap": float("nan")})
    xy = np.ones((4, 2))
    matches = Correspondences(xy, xy, np.ones(4))
    return Registration({}, {}, translation(1, 0), matches, np.ones(4, bool), np.zeros(4), verdict, {"match": 0.1})


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(document, lines of predictions) of a small run with a control, a peer, strangers and a failure."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    truth = {"moving_to_fixed": np.eye(3).tolist(), "pixel_origin": "corner"}
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(40, 255, (32, 40, 3), dtype=np.uint8))
    named = [{"fixed": f"{i}.png", "moving": f"{i}.png", **truth} for i in range(2)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in named))
    asked = ("structural", "phase-correlation", "truth")
    recipe = EvalRecipe(("pairs.jsonl",), matchers=asked, controls=False, unrelated=True, keep_matches=True)
    born = certificate(["xmatch", "eval"], jobs=1, threads=1)
    found, tasks = {}, plan(recipe, folder)
    for method in methods(recipe):
        found[method] = folder / f"{method.file_name}.jsonl"
        predict(tasks, recipe, found[method], certificate=born, data_sha256="d" * 64, method=method, register=stand_in)
    lines = [json.loads(line) for path in found.values() for line in path.read_text().splitlines()]
    return results_document(found, recipe), lines


def test_results_keep_their_schema(measured):
    document = json.loads(json.dumps(measured[0], allow_nan=False))
    jsonschema.validate(document, RESULTS)
    assert {failure["code"] for failure in document["failures"]} == {"internal"}


def test_every_line_of_predictions_keeps_its_schema(measured):
    jsonschema.validate(measured[1][0], PREDICTIONS)  # the schema too, which takes longest
    for line in measured[1]:
        jsonschema.Draft202012Validator(PREDICTIONS).validate(line)
    assert len(measured[1]) > 2 * 5


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_results_keep_it_too(name):
    jsonschema.Draft202012Validator(RESULTS).validate(COMMITTED[name])


def test_a_number_of_another_name_is_noticed(measured):
    document = json.loads(json.dumps(measured[0]))
    document["matchers"]["truth"]["mean"]["corner_errror"] = 1.0
    with pytest.raises(jsonschema.ValidationError, match="corner_errror"):
        jsonschema.validate(document, RESULTS)


def parts_of(schema: dict) -> dict[str, dict]:
    """Name of a type -> its part of the schema."""
    parts = {name[0].upper() + name[1:]: part for name, part in schema["$defs"].items()}
    return parts | ({} if "properties" not in schema else {"ResultsDocument": schema})


@pytest.mark.parametrize("schema", [RESULTS, PREDICTIONS], ids=["results", "predictions"])
def test_types_and_schemas_name_the_same_fields(schema):
    for name, part in parts_of(schema).items():
        kind = getattr(result_rows, name, None) or getattr(prediction_rows, name)
        assert set(part["properties"]) == set(get_type_hints(kind)) - set(result_rows.IN_MEMORY), name
        assert set(part.get("required", ())) == kind.__required_keys__ - set(result_rows.IN_MEMORY), name


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("RegistrationDocument", REGISTRATION),
        *(
            (name, REGISTRATION["properties"][key])
            for name, key in (
                ("VerdictPart", "verdict"),
                ("Correction", "correction"),
                ("CorrespondencesPart", "correspondences"),
                ("ResidualsPart", "residuals"),
                ("ShownPart", "shown"),
            )
        ),
        ("HistogramPart", REGISTRATION["properties"]["residuals"]["properties"]["histogram"]),
    ],
)
def test_the_document_of_a_registration_has_the_fields_of_its_schema(kind, part):
    hints = get_type_hints(getattr(document_types, kind), include_extras=True)
    assert set(hints) == set(part["properties"])
    # `__required_keys__` does not see through annotations that are texts.
    assert {name for name, hint in hints.items() if get_origin(hint) is not NotRequired} == set(part["required"])
