"""The schemas under recipes/schema say what the reader of recipes takes, and are the ones of this version."""

from __future__ import annotations

import json
import runpy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
import yaml
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from xmatch.recipe_schema import json_schema

RECIPES = Path(__file__).parent.parent / "recipes"
SCRIPT = runpy.run_path(str(RECIPES / "write_schemas.py"))


@dataclass(frozen=True)
class Inner:
    lr: float


@dataclass(frozen=True)
class Outer:
    data: str
    kind: Literal["a", "b"] = "a"
    steps: int | None = None
    pair: tuple[int, int] = (1, 2)
    inners: tuple[str | Inner, ...] = ()
    extra: dict[str, float] = field(default_factory=dict)
    free: Any = None


@pytest.mark.parametrize(
    ("recipe", "fits"),
    [
        ({"data": "x"}, True),
        ({"data": "x", "kind": "b", "steps": 3, "inners": ["y", {"lr": 1e-3}], "extra": {"z": 1}, "free": [1]}, True),
        ({"data": "x", "steps": None, "pair": [3, 4]}, True),
        ({}, False),
        ({"data": 1}, False),
        ({"data": "x", "kind": "c"}, False),
        ({"data": "x", "steps": 1.5}, False),
        ({"data": "x", "pair": [1, 2, 3]}, False),
        ({"data": "x", "inners": [{"lr": "fast"}]}, False),
        ({"data": "x", "inners": [{}]}, False),
        ({"data": "x", "extra": {"z": "y"}}, False),
        ({"data": "x", "stepz": 1}, False),
    ],
)
def test_a_schema_takes_what_the_dataclass_takes(recipe, fits):
    schema = json_schema(Outer, "made up")
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(recipe) == fits


def test_a_type_that_recipes_cannot_hold_is_our_mistake():
    with pytest.raises(TypeError, match="cannot hold"):
        json_schema(dataclass(type("Odd", (), {"__annotations__": {"path": Path}})), "odd")


@pytest.mark.parametrize("command", SCRIPT["schemas"]())
def test_the_files_are_those_of_this_version(command):
    text = SCRIPT["as_text"](SCRIPT["schemas"]()[command])
    assert (RECIPES / "schema" / f"{command}.json").read_text() == text, "python recipes/write_schemas.py"


@cache
def schema_of(command: str) -> Validator:
    """The schema that comes along, itself checked; once, as that takes longer than to check recipes by it."""
    schema = json.loads((RECIPES / "schema" / f"{command}.json").read_text())
    validator = validator_for(schema)
    validator.check_schema(schema)
    return validator(schema)


def as_numbers(value: Any) -> Any:
    """PyYAML reads 1e-4 as text; YAML 1.2, which editors read, as a number."""
    if isinstance(value, dict):
        return {key: as_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_numbers(item) for item in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_fits_its_schema(path):
    command = path.stem.partition("-")[0] if path.parent == RECIPES else "pretrain"
    schema_of(command).validate(as_numbers(yaml.safe_load(path.read_text())))
