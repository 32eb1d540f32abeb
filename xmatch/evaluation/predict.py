"""Run the registrations of a plan and save what each of them said, one JSON line per pair.

The first line names the recipe; a `run` line opens every session that added to the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xmatch import registration
from xmatch.errors import OutputError, ResourceError, XmatchError
from xmatch.evaluation.border import write_filled
from xmatch.evaluation.plan import EvalRecipe, Task
from xmatch.evaluation.workers import run_in_workers
from xmatch.io import open_source
from xmatch.result import Registration

SCHEMA = "xmatch.predictions/1"

Register = Callable[..., Registration]
"""`xmatch.registration.register` or a stand-in: (fixed, moving, options) -> Registration."""


def predict(
    tasks: list[Task],
    recipe: EvalRecipe,
    path: str | os.PathLike,
    *,
    certificate: dict[str, Any],
    data_sha256: str,
    jobs: int = 1,
    register: Register | None = None,
    progress: Callable[[dict], None] | None = None,
) -> None:
    """Append a row to `path` for every task that has none yet. A failed pair is a row with its reason.

    Args:
        certificate: what is known of this session: command, commit, versions, hardware.
        jobs: processes; each registers one pair at a time.
        register: picklable when jobs > 1.
        progress: called with each new row.

    Raises:
        OutputError: the file holds predictions of another recipe or of other data, or cannot be written.
    """
    path = Path(path)
    head = {"schema": SCHEMA, "recipe_sha256": recipe_digest(recipe), "data_sha256": data_sha256}
    done = {row["id"] for row in _rows_to_keep(path, head)}
    work = [(task, recipe, register or registration.register) for task in tasks if task.id not in done]
    try:
        with path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                _append(file, {**head, "recipe": recipe.as_dict()})
            _append(file, {"run": certificate})
            for row in _run(work, jobs):
                _append(file, row)
                if progress:
                    progress(row)
    except OSError as error:
        raise OutputError(f"predictions cannot be written: {error.strerror}", path=path) from error


def read_predictions(path: str | os.PathLike) -> tuple[dict, list[dict], list[dict]]:
    """(head, runs, rows) of a file that `predict` wrote; a last line cut short by a crash is left out.

    Raises:
        OutputError: not such a file.
    """
    lines = []
    for line in Path(path).read_text(encoding="utf-8").splitlines(keepends=True):
        with contextlib.suppress(json.JSONDecodeError):
            if line.endswith("\n"):
                lines.append(json.loads(line))
    if not lines or not isinstance(lines[0], dict) or lines[0].get("schema") != SCHEMA:
        raise OutputError(f"not a file of predictions ({SCHEMA})", path=path, hint="--overwrite replaces it")
    return lines[0], [line["run"] for line in lines if "run" in line], [line for line in lines if "id" in line]


def recipe_digest(recipe: EvalRecipe) -> str:
    """SHA-256 of all that shapes predictions: not how they are judged, nor how many threads there were."""
    values = recipe.as_dict()
    for name in ("thresholds_px", "right_px", "wrong_px"):
        del values[name]
    for name in ("threads", "device"):
        del values["register"][name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _rows_to_keep(path: Path, head: dict) -> list[dict]:
    if not path.exists() or path.stat().st_size == 0:
        return []
    found, _, rows = read_predictions(path)
    if any(found.get(key) != head[key] for key in head):
        what = "other data" if found["recipe_sha256"] == head["recipe_sha256"] else "another recipe"
        raise OutputError(f"holds predictions for {what}", path=path, hint="--overwrite starts anew, -o names another")
    with path.open("rb+") as file:
        # A line that a crash cut short must not swallow the next one.
        whole = file.read().rpartition(b"\n")[0]
        file.truncate(len(whole) + 1)
    return rows


def _append(file: Any, line: dict) -> None:
    file.write(json.dumps(line, allow_nan=False) + "\n")
    file.flush()


def _run(work: list[tuple], jobs: int) -> Iterator[dict]:
    if jobs == 1:
        yield from map(_predict_one, work)
        return
    for item, row in run_in_workers(_predict_one, work, jobs):
        lost = ResourceError("the process that registered it died", hint="killed for its memory? fewer --jobs")
        yield row or {**_identity(item[0]), "error": lost.as_dict()}


def _predict_one(work: tuple[Task, EvalRecipe, Register]) -> dict[str, Any]:
    task, recipe, register = work
    row = _identity(task)
    _reset_peak_memory()
    start = time.perf_counter()
    try:
        if task.problem:
            raise XmatchError(task.problem)
        with contextlib.ExitStack() as stack:
            moving = task.moving
            if recipe.fill != "none":
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                moving = os.fspath(write_filled(folder / "filled.tif", moving, recipe.fill, task.filler, recipe.seed))
                start = time.perf_counter()
            fixed_source = stack.enter_context(open_source(task.fixed))
            moving_source = stack.enter_context(open_source(moving))
            for name, source in (("fixed_size", fixed_source), ("moving_size", moving_source)):
                row[name] = [source.header.width, source.header.height]
            result = register(fixed_source, moving_source, recipe.register)
        row |= _said(result)
    except Exception as error:
        row["error"] = _reason(error, task)
    row["seconds"] = round(time.perf_counter() - start, 4)
    row["peak_memory_mib"] = round(_peak_memory_mib(), 1)
    return row


def _identity(task: Task) -> dict[str, Any]:
    # No paths: a file of predictions may be published.
    return {"id": task.id, "set": task.set, "related": task.related, "truth": task.truth, "error": None}


def _said(result: Registration) -> dict[str, Any]:
    return {
        "transform": None if result.transform is None else result.transform.as_dict(),
        "verdict": _json_ready(dataclasses.asdict(result.verdict)),
        "correspondences": {"count": len(result.correspondences), "inliers": int(result.inliers.sum())},
        "stages_s": _json_ready(result.seconds),
    }


def _reason(error: Exception, task: Task) -> dict[str, Any]:
    """Why a pair failed. A fault of our own keeps its trace, so that it can be mended; the rest goes on."""
    if isinstance(error, XmatchError):
        code = "manifest" if task.problem else error.code
        file = error.path and os.path.basename(error.path)
        return {"code": code, "message": f"{file}: {error.message}" if file else error.message, "hint": error.hint}
    if isinstance(error, MemoryError):
        return ResourceError("out of memory").as_dict()
    return {"code": "internal", "message": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}


def _json_ready(value: Any) -> Any:
    """numpy numbers as Python's, NaN and infinity as null."""
    if isinstance(value, dict):
        return {key: _json_ready(item) for key, item in value.items()}
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _reset_peak_memory() -> None:
    """Make the kernel forget the peak so far, so that a pair's own can be read; Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mib() -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
