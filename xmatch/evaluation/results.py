"""The results of all matchers of a recipe as one document."""

from __future__ import annotations

import os
from collections.abc import Mapping

from xmatch.evaluation.methods import Method
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.result_rows import Certificate, Failure, MethodResults, ResultsDocument
from xmatch.evaluation.summary import summarise
from xmatch.evaluation.sweeps import sweep_results
from xmatch.io.json_values import json_ready

SCHEMA = "xmatch.evaluation/2"


def results_document(predictions: Mapping[Method, str | os.PathLike[str]], recipe: EvalRecipe) -> ResultsDocument:
    """What `xmatch eval` writes, JSON-ready, from the predictions of each method.

    `ok` is whether no pair failed, controls included; `failures` are those of all methods, each with its `matcher`.
    """
    found: dict[str, MethodResults] = {}
    failures: list[Failure] = []
    for method, path in predictions.items():
        summary = summarise(path, recipe, method.kind)
        failures += [{"matcher": method.name, **each} for each in summary.pop("failures")]
        found[method.name] = summary
    first = next(iter(found.values()))
    document: ResultsDocument = {
        "schema": SCHEMA,
        "ok": not failures,
        "kind": first["kind"],
        "recipe": json_ready(recipe.as_dict()),
        "matchers": found,
        "failures": failures,
        "certificate": _certificate(found),
    }
    if recipe.sweep:
        document["sweeps"] = json_ready(sweep_results(found, recipe))
    return document


def _certificate(found: dict[str, MethodResults]) -> Certificate:
    """What is the same for all methods, taken out of theirs."""
    parts = [part["certificate"] for part in found.values()]
    runs = [run for part in parts for run in part["runs"]]
    return {
        "data_sha256": parts[0]["data_sha256"],
        "seed": parts[0]["seed"],
        "runs": [run for place, run in enumerate(runs) if run not in runs[:place]],
        "mixed_code": len({run.get("code_sha256") for run in runs}) > 1,
    }
