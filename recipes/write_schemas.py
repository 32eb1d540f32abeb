"""Writes recipes/schema/*.json, by which editors complete and check recipes: python recipes/write_schemas.py

A recipe names its schema in its first line: # yaml-language-server: $schema=schema/eval.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xmatch.adaptation.recipe import AdaptRecipe
from xmatch.cli.recipes import recipe_class
from xmatch.cli.register import register_command
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.recipe_schema import json_schema
from xmatch.synth.recipe import SynthRecipe
from xmatch.training.recipe import PretrainRecipe

FOLDER = Path(__file__).parent / "schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Command -> the schema of its recipes."""
    classes = {
        "adapt": AdaptRecipe,
        "eval": EvalRecipe,
        "pretrain": PretrainRecipe,
        "register": recipe_class(register_command),
        "synth": SynthRecipe,
    }
    return {name: json_schema(cls, f"Recipe of xmatch {name}") for name, cls in classes.items()}


def as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1) + "\n"


if __name__ == "__main__":
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(as_text(schema))
