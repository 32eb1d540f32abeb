"""The work of `xmatch eval`: plan, let each matcher predict, judge, write."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from xmatch.cli.at_once import computes_together, pairs_at_once
from xmatch.cli.eval_settings import Changes
from xmatch.cli.eval_table import Counter, print_results
from xmatch.cli.options import Verbosity
from xmatch.cli.runtime import emit, emit_text
from xmatch.datasets import DATASETS
from xmatch.errors import ExitCode, UsageError
from xmatch.evaluation import EvalRecipe, methods, plan, predict, results_document
from xmatch.evaluation.certificate import certificate
from xmatch.evaluation.matches import matches_folder
from xmatch.evaluation.methods import Method
from xmatch.evaluation.page import render_page
from xmatch.evaluation.pictures import pictures
from xmatch.evaluation.plan import by_kind, data_digest
from xmatch.evaluation.predict import for_method, refuse_unsupported
from xmatch.evaluation.result_rows import ResultsDocument
from xmatch.evaluation.tables import csv_text, markdown
from xmatch.evaluation.task import Task
from xmatch.io.writing.atomic import atomic_writes, check_target
from xmatch.recipe import load_recipe

DATASETS_SCHEMA = "xmatch.datasets/1"
PARTS_SCHEMA = "xmatch.evaluations/1"
"""Of a recipe with several kinds of pairs: the document of each, by the kind's name."""


def run_eval(
    recipe: Path,
    changes: Changes,
    talk: Verbosity,
    *,
    output: str | None,
    overwrite: bool,
    data: Path | None,
    jobs: int,
    at_once: int | None,
    with_pictures: bool,
) -> int:
    """The whole command; its exit code."""
    results = Path(output or f"{recipe.stem}.results.json")
    folder = data or recipe.parent
    settings = changes.applied(load_recipe(recipe, EvalRecipe), jobs)
    alone = {
        "--jobs wants a process for each": jobs > 1,
        "none of these matchers, with these weights, computes many pairs at once": at_once is not None
        and not any(_computes_together(method, settings) for method in methods(settings)),
    }
    several = pairs_at_once(at_once, settings.register.device, alone)
    parts = by_kind(settings)
    targets = {kind: results.with_suffix(f".{kind}.json") if kind else results for kind in parts}
    for target in targets.values():
        for path in _targets(target):
            check_target(path, overwrite=overwrite, inputs=[recipe])
    work = {}
    for kind, own in parts.items():  # what is wrong with one of them is said before any begins
        tasks = plan(own, folder)
        work[kind] = _Part(own, folder, tasks, refuse_unsupported(tasks, methods(own)), targets[kind])
    if overwrite:
        for part in work.values():
            part.forget()
    with Counter(sum(part.count for part in work.values()), quiet=talk.quiet) as counter:
        for part in work.values():
            _predict(part, counter, jobs, several)
    # No results before the last kind's predictions: a run with results is done, and would not go on.
    documents: dict[str, ResultsDocument] = {}
    texts: dict[Path, str] = {}
    for kind, part in work.items():
        documents[kind] = results_document(part.predictions, part.settings)
        texts |= _texts(part, documents[kind], with_pictures)
    with atomic_writes(list(texts), overwrite=overwrite) as temporary:
        for path, text in texts.items():
            temporary[path].write_text(text, encoding="utf-8", errors="replace")
    if not talk.quiet:
        for kind, document in documents.items():
            print_results(document, targets[kind])
    good = all(document["ok"] for document in documents.values())
    if talk.json:
        emit(next(iter(documents.values())) if "" in documents else {"schema": PARTS_SCHEMA, "ok": good, **documents})
    return ExitCode.OK if good else ExitCode.BATCH


@dataclass(frozen=True)
class _Part:
    """All pairs of one kind."""

    settings: EvalRecipe
    folder: Path
    tasks: list[Task]
    asked: list[Method]
    results: Path

    @property
    def count(self) -> int:
        """Predictions."""
        return sum(len(for_method(self.tasks, method)) for method in self.asked)

    @property
    def predictions(self) -> dict[Method, Path]:
        return {method: self.results.with_suffix(f".{method.file_name}.predictions.jsonl") for method in self.asked}

    def forget(self) -> None:
        """Delete the predictions of before."""
        for path in self.predictions.values():
            path.unlink(missing_ok=True)
            shutil.rmtree(matches_folder(path), ignore_errors=True)


def _predict(part: _Part, counter: Counter, jobs: int, at_once: int) -> None:
    part.results.parent.mkdir(parents=True, exist_ok=True)
    digest = data_digest(part.settings, part.folder, part.tasks)
    born = certificate(["xmatch", *sys.argv[1:]], jobs=jobs, threads=part.settings.register.threads)
    for method, path in part.predictions.items():
        several = at_once if _computes_together(method, part.settings) else 1
        predict(
            part.tasks,
            part.settings,
            path,
            certificate=born,
            data_sha256=digest,
            method=method,
            jobs=jobs,
            at_once=several,
            progress=counter.of(method.name),
        )


def _computes_together(method: Method, settings: EvalRecipe) -> bool:
    """Whether a method computes many pairs at once: no peer, control or feature does."""
    options = method.options(settings) if method.kind == "matcher" else None
    return options is not None and computes_together(options.matcher, options.weights)


def _texts(part: _Part, document: ResultsDocument, with_pictures: bool) -> dict[Path, str]:
    """What is written of one kind, by the file's path."""
    drawn = pictures(document, part.tasks, part.predictions, part.settings) if with_pictures else []
    as_json = json.dumps(document, indent=1, allow_nan=False) + "\n"
    texts = markdown(document), csv_text(document), render_page(document, drawn), as_json
    return dict(zip(_targets(part.results), texts, strict=True))


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
