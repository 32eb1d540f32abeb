"""`xmatch eval`: benchmark tables from pairs with known truth."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmatch.cli.groups import grouped
from xmatch.cli.options import Output, Overwrite, Talk
from xmatch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from xmatch.evaluation import EvalRecipe


@grouped
def eval_command(
    recipe: Annotated[Path, typer.Argument(help="YAML file that names pairs and options.", show_default=False)],
    talk: Talk,
    output: Output = None,
    overwrite: Overwrite = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder where relative manifests start; default the recipe's own.")
    ] = None,
    matcher: Annotated[str | None, typer.Option("--matcher", help="Measure this matcher, not the recipe's.")] = None,
    transform: Annotated[str | None, typer.Option("--transform", help="Fit this kind of map.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Weights for the matcher.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the registrations.", min=0)] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="First so many pairs of each set only.", min=1)] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Pairs registered at once.", min=1)] = 1,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads per pair; 1 with several jobs.", min=1)
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = None,
) -> int:
    """Register every pair that RECIPE names and compare with the truth.

    Predictions are saved beside the results, so that an interrupted run goes on where it stopped. Exit code 8 when
    some pairs failed; they count as infinitely wrong.

    Example: xmatch eval recipes/eval-srif-crop.yaml --data ~/data --limit 5
    """
    from xmatch.cli.eval_table import Counter, print_results
    from xmatch.cli.runtime import emit
    from xmatch.evaluation import plan, predict, summarise
    from xmatch.evaluation.certificate import certificate
    from xmatch.evaluation.plan import data_digest
    from xmatch.io.atomic import atomic_write, check_target
    from xmatch.recipe import load_recipe

    results = Path(output or f"{recipe.stem}.results.json")
    predictions = results.with_suffix(".predictions.jsonl")
    folder = data or recipe.parent
    chosen = {"matcher": matcher, "transform": transform, "weights": weights, "seed": seed, "device": device}
    chosen["threads"] = 1 if jobs > 1 else threads
    settings = _settings(load_recipe(recipe, _recipe_class()), chosen, limit)
    check_target(results, overwrite=overwrite, inputs=[recipe])
    tasks = plan(settings, folder)
    if overwrite:
        predictions.unlink(missing_ok=True)
    with Counter(len(tasks), quiet=talk.quiet) as counter:
        predict(
            tasks,
            settings,
            predictions,
            certificate=certificate(["xmatch", *sys.argv[1:]], jobs=jobs, threads=settings.register.threads),
            data_sha256=data_digest(settings, folder, tasks),
            jobs=jobs,
            progress=counter,
        )
    document = summarise(predictions, settings)
    with atomic_write(results, overwrite=overwrite) as temporary:
        Path(temporary).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if talk.json:
        emit(document)
    if not talk.quiet:
        print_results(document, results)
    return ExitCode.OK if document["ok"] else ExitCode.BATCH


def _recipe_class() -> type[EvalRecipe]:
    from xmatch.evaluation import EvalRecipe

    return EvalRecipe


def _settings(recipe: EvalRecipe, chosen: dict[str, Any], limit: int | None) -> EvalRecipe:
    """The recipe with what the command line says instead."""
    from xmatch.transforms import TRANSFORMS

    given = {name: value for name, value in chosen.items() if value is not None}
    register = dataclasses.replace(recipe.register, **given)
    if register.transform not in ("auto", *TRANSFORMS):
        known = ", ".join(("auto", *TRANSFORMS))
        raise UsageError(f"transform {register.transform!r} is not known", hint=f"one of {known}")
    return dataclasses.replace(recipe, register=register, limit=limit or recipe.limit)
