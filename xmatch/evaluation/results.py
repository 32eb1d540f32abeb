"""The results of all matchers of a recipe as one document."""

from __future__ import annotations

import os
from typing import Any

from xmatch.evaluation.methods import Method
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.summary import json_ready, summarise
from xmatch.evaluation.sweeps import sweep_results

SCHEMA = "xmatch.evaluation/2"


def results_document(predictions: dict[Method, str | os.PathLike], recipe: EvalRecipe) -> dict[str, Any]:
    """What `xmatch eval` writes, JSON-ready, from the predictions of each method.

    `ok` is whether no pair failed, controls included; `failures` are those of all methods, each with its `matcher`.
    """
    found = {method.name: summarise(path, recipe) for method, path in predictions.items()}
    for method in predictions:
        found[method.name] = {"kind_of_method": method.kind, **found[method.name]}
    failures = [{"matcher": name, **each} for name, part in found.items() for each in part.pop("failures")]
    first = next(iter(found.values()))
    return {
        "schema": SCHEMA,
        "ok": not failures,
        "kind": first["kind"],
        "recipe": json_ready(recipe.as_dict()),
        "matchers": found,
        **({"sweeps": json_ready(sweep_results(found, recipe))} if recipe.sweep else {}),
        "failures": failures,
        "certificate": _certificate(found),
    }


def _certificate(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is the same for all methods, taken out of theirs."""
    parts = [part["certificate"] for part in found.values()]
    runs = [run for part in parts for run in part["runs"]]
    return {
        "data_sha256": parts[0]["data_sha256"],
        "seed": parts[0]["seed"],
        "runs": [run for place, run in enumerate(runs) if run not in runs[:place]],
        "mixed_code": len({run.get("code_sha256") for run in runs}) > 1,
    }
