"""The work of `xmatch eval`: plan, let each matcher predict, judge, write."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from xmatch.cli.eval_settings import Changes
from xmatch.cli.eval_table import Counter, print_results
from xmatch.cli.options import Verbosity
from xmatch.cli.runtime import emit, emit_text
from xmatch.datasets import DATASETS
from xmatch.errors import ExitCode, UsageError
from xmatch.evaluation import EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.certificate import certificate
from xmatch.evaluation.matches import matches_folder
from xmatch.evaluation.page import render_page
from xmatch.evaluation.pictures import pictures
from xmatch.evaluation.plan import data_digest
from xmatch.evaluation.predict import for_method, refuse_unsupported
from xmatch.evaluation.tables import csv_text, markdown
from xmatch.io.writing.atomic import atomic_writes, check_target
from xmatch.recipe import load_recipe

DATASETS_SCHEMA = "xmatch.datasets/1"


def run_eval(
    recipe: Path,
    changes: Changes,
    talk: Verbosity,
    *,
    output: str | None,
    overwrite: bool,
    data: Path | None,
    jobs: int,
    with_pictures: bool,
) -> int:
    """The whole command; its exit code."""
    results = Path(output or f"{recipe.stem}.results.json")
    folder = data or recipe.parent
    settings = changes.applied(load_recipe(recipe, EvalRecipe), jobs)
    asked = methods(settings)
    written = _targets(results)
    for path in written:
        check_target(path, overwrite=overwrite, inputs=[recipe])
    tasks = plan(settings, folder)
    asked = refuse_unsupported(tasks, asked)
    results.parent.mkdir(parents=True, exist_ok=True)
    predictions = {method: results.with_suffix(f".{method.file_name}.predictions.jsonl") for method in asked}
    if overwrite:
        for path in predictions.values():
            path.unlink(missing_ok=True)
            shutil.rmtree(matches_folder(path), ignore_errors=True)
    digest = data_digest(settings, folder, tasks)
    born = certificate(["xmatch", *sys.argv[1:]], jobs=jobs, threads=settings.register.threads)
    with Counter(sum(len(for_method(tasks, method)) for method in asked), quiet=talk.quiet) as counter:
        for method, path in predictions.items():
            predict(
                tasks,
                settings,
                path,
                certificate=born,
                data_sha256=digest,
                method=method,
                jobs=jobs,
                progress=counter.of(method.name),
            )
    document = results_document(predictions, settings)
    drawn = pictures(document, tasks, predictions, settings) if with_pictures else []
    texts = {
        ".md": markdown(document),
        ".csv": csv_text(document),
        ".html": render_page(document, drawn),
        ".json": json.dumps(document, indent=1, allow_nan=False) + "\n",
    }
    with atomic_writes(written, overwrite=overwrite) as temporary:
        for path, text in zip(written, texts.values(), strict=True):
            temporary[path].write_text(text, encoding="utf-8", errors="replace")
    if talk.json:
        emit(document)
    if not talk.quiet:
        print_results(document, results)
    return ExitCode.OK if document["ok"] else ExitCode.BATCH


def _targets(results: Path) -> list[Path]:
    """Markdown, CSV, HTML and, last of all, the JSON.

    Raises:
        UsageError: two of them would be one file.
    """
    others = [results.with_suffix(suffix) for suffix in (".md", ".csv", ".html")]
    if results in others:
        raise UsageError("--output names the JSON; Markdown, CSV and HTML are written beside it", path=results)
    return [*others, results]


def print_datasets(as_json: bool) -> None:
    """What can be read, on stdout."""
    names = ("name", "task", "layout", "source")
    rows = [{name: getattr(dataset, name) for name in names} for dataset in DATASETS.values()]
    if as_json:
        emit({"schema": DATASETS_SCHEMA, "datasets": rows})
        return
    for row in rows:
        emit_text(f"{row['name']} ({row['task']})\n    folder: {row['layout']}\n    from:   {row['source']}\n")
