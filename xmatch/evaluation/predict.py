"""Run the registrations of a plan and save what each of them words, one JSON line per pair.

The first line names the recipe; a `run` line opens every session that added to the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from xmatch.errors import OutputError, UsageError
from xmatch.evaluation.dense import dense_folder
from xmatch.evaluation.features import refuse_maps
from xmatch.evaluation.matches import matches_folder
from xmatch.evaluation.methods import Method, methods
from xmatch.evaluation.predict_pair import PredictionJob, Register, identity, predict_pair, problem_of
from xmatch.evaluation.prediction_rows import FirstLine, PredictionRow, PredictionsHead, RunCertificate, RunLine
from xmatch.evaluation.recipe import JUDGEMENT, EvalRecipe
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import as_map
from xmatch.io import file_digest
from xmatch.ops.batching import run_together
from xmatch.registration import pipeline as registration
from xmatch.workers.lost import Lost
from xmatch.workers.processes import run_in_processes

SCHEMA = "xmatch.predictions/2"


def predict(
    tasks: list[Task],
    recipe: EvalRecipe,
    path: str | os.PathLike[str],
    *,
    certificate: RunCertificate,
    data_sha256: str,
    method: Method | None = None,
    jobs: int = 1,
    at_once: int = 1,
    register: Register | None = None,
    progress: Callable[[PredictionRow], None] | None = None,
) -> None:
    """Append a row to `path` for every task that has none yet. A failed pair is a row with its reason.

    Args:
        certificate: what is known of this session: command, commit, versions, hardware.
        method: who is asked; the recipe's first, unless given.
        jobs: processes; each registers one pair at a time.
        at_once: pairs under way in this process, where there is no other, that compute together; a pair's seconds are
            then those that it took beside the others.
        register: picklable when jobs > 1.
        progress: called with each new row.

    Raises:
        OutputError: the file holds predictions of another recipe, other data or weights, or cannot be written.
    """
    path, method = Path(path), method or methods(recipe)[0]
    head: PredictionsHead = {
        "schema": SCHEMA,
        "recipe_sha256": recipe_digest(recipe, method),
        "data_sha256": data_sha256,
        "weights_sha256": _weights_digest(recipe, method),
    }
    done = {row["id"] for row in _rows_to_keep(path, head)}
    kept = matches_folder(path) if recipe.keep_matches or any(task.keeps_matches for task in tasks) else None
    work = [
        PredictionJob(
            task, recipe, method, register or registration.register, kept, dense_folder(path) if recipe.dense else None
        )
        for task in for_method(tasks, method)
        if task.id not in done
    ]
    try:
        with path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                first: FirstLine = {**head, "matcher": method.name, "recipe": recipe.as_dict()}
                _append(file, first)
            session: RunLine = {"run": certificate if at_once == 1 else {**certificate, "at_once": at_once}}
            _append(file, session)
            for row in _run(work, jobs, at_once):
                _append(file, row)
                if progress:
                    progress(row)
    except OSError as error:
        raise OutputError(f"predictions cannot be written: {error.strerror}", path=path) from error


def read_predictions(
    path: str | os.PathLike[str],
) -> tuple[PredictionsHead, list[RunCertificate], list[PredictionRow]]:
    """(head, runs, rows) of a file that `predict` wrote; a last line cut short by a crash is left out.

    Raises:
        OutputError: not such a file.
    """
    lines: list[Any] = []
    for line in Path(path).read_text(encoding="utf-8").splitlines(keepends=True):
        with contextlib.suppress(json.JSONDecodeError):
            if line.endswith("\n"):
                lines.append(json.loads(line))
    if not lines or not isinstance(lines[0], dict) or lines[0].get("schema") != SCHEMA:
        raise OutputError(f"not a file of predictions ({SCHEMA})", path=path, hint="--overwrite replaces it")
    head = cast(PredictionsHead, lines[0])  # its schema has been looked at
    return head, [line["run"] for line in lines if "run" in line], [line for line in lines if "id" in line]


def for_method(tasks: list[Task], method: Method) -> list[Task]:
    """The tasks that a method can be asked: controls look at no content and know no strangers, the control `truth`
    needs a map, or landmarks that one can be drawn through, and `landmark-affine` such landmarks."""
    if method.kind != "control":
        return tasks
    tasks = [task for task in tasks if task.related]
    if method.uses == "landmark-affine":
        tasks = [task for task in tasks if task.kind == "landmarks"]
    has_map = ("truth", "landmark-affine")
    return [task for task in tasks if task.problem or as_map(task.truth)] if method.uses in has_map else tasks


def refuse_unsupported(tasks: list[Task], asked: list[Method]) -> list[Method]:
    """The methods that can be asked these tasks; controls that cannot are left out.

    Raises:
        UsageError: a peer is asked for a relative pose, or a feature for a map.
    """
    for method in asked:
        if method.kind == "feature":
            for task in tasks:
                refuse_maps(method.name, task)
    if not any(task.kind == "pose" for task in tasks):
        return [method for method in asked if for_method(tasks, method)]
    peers = [method.name for method in asked if method.kind == "peer"]
    if peers:
        raise UsageError(
            f"poses are estimated from correspondences, which these do not give: {', '.join(peers)}",
            hint="xmatch's own matchers only, for this data set",
        )
    return [method for method in asked if method.kind in ("matcher", "feature")]


def recipe_digest(recipe: EvalRecipe, method: Method) -> str:
    """SHA-256 of all that shapes a method's predictions: not how they are judged, nor how many threads there were."""
    values = method.shapes(recipe)
    for name in JUDGEMENT:
        del values[name]
    if not recipe.dense:
        # Predictions of before it could be asked for are of the same recipe.
        del values["dense"]
    for name in ("threads", "device"):
        del values["register"][name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _weights_digest(recipe: EvalRecipe, method: Method) -> str | None:
    """SHA-256 of the weights, where they are a file of the user's; those that come along are part of the code. Of two
    files: the SHA-256 of theirs, one after the other."""
    told = method.options(recipe) if method.kind == "matcher" else method.spec
    files = (told.weights, told.companion_weights)
    digests = [file_digest(each) for each in files if each and os.path.isfile(each)]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if len(digests) > 1 else next(iter(digests), None)


def _rows_to_keep(path: Path, head: PredictionsHead) -> list[PredictionRow]:
    if not path.exists() or path.stat().st_size == 0:
        return []
    found, _, rows = read_predictions(path)
    if any(found.get(key) != value for key, value in head.items()):
        named = {"recipe_sha256": "another recipe", "data_sha256": "other data", "weights_sha256": "other weights"}
        what = next(words for key, words in named.items() if found.get(key) != head.get(key))
        raise OutputError(f"holds predictions for {what}", path=path, hint="--overwrite starts anew, -o names another")
    with path.open("rb+") as file:
        # A line that a crash cut short must not swallow the next one.
        whole = file.read().rpartition(b"\n")[0]
        file.truncate(len(whole) + 1)
    return rows


def _append(file: TextIO, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line, allow_nan=False) + "\n")
    file.flush()


def _run(work: list[PredictionJob], jobs: int, at_once: int) -> Iterator[PredictionRow]:
    if jobs == 1:
        yield from map(predict_pair, work) if at_once == 1 else _beside_each_other(work, at_once)
        return
    for item, row in run_in_processes(predict_pair, work, jobs):
        if isinstance(row, Lost):
            yield {**identity(item.task), "error": problem_of(row.as_error("registered it", "fewer --jobs"))}
        else:
            yield row


def _beside_each_other(work: list[PredictionJob], at_once: int) -> Iterator[PredictionRow]:
    with contextlib.closing(run_together(predict_pair, work, at_once)) as ended:
        for _, row in ended:
            # The process's peak is no single pair's.
            yield {**row, "peak_memory_mib": None}
