"""What one matcher, peer or control says of one pair, as the row that is saved."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xmatch.errors import ResourceError, XmatchError, is_out_of_memory
from xmatch.evaluation import features
from xmatch.evaluation.dense import dense_matches
from xmatch.evaluation.error_maps import saved_error_map
from xmatch.evaluation.matches import save_matches
from xmatch.evaluation.methods import Method
from xmatch.evaluation.peers.isolation import PeerRun, isolated
from xmatch.evaluation.peers.registry import load_peer
from xmatch.evaluation.prediction_rows import Answer, Changed, MethodKind, PredictionRow, Problem, Sizes
from xmatch.evaluation.prepare import prepare
from xmatch.evaluation.prepared import PreparedPair
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.task import Task
from xmatch.evaluation.truths import as_map, map_as_dict
from xmatch.io import open_source
from xmatch.io.json_values import json_ready
from xmatch.io.rasters.source import Source
from xmatch.result import Registration

Register = Callable[..., Registration]
"""`xmatch.registration.pipeline.register` or a stand-in: (fixed, moving, options) -> Registration."""


@dataclass(frozen=True)
class PredictionJob:
    """One pair for one method; picklable."""

    task: Task
    recipe: EvalRecipe
    method: Method
    register: Register
    matches: Path | None = None
    """Folder for the correspondences, when they are kept."""
    dense: Path | None = None
    """Folder for what dense matchers say of every cell, when that is judged."""


def predict_pair(work: PredictionJob) -> PredictionRow:
    """The row; whatever happens is told in it."""
    row = identity(work.task)
    _reset_peak_memory()
    start = time.perf_counter()
    try:
        if work.task.problem:
            raise XmatchError(work.task.problem)
        with tempfile.TemporaryDirectory() as folder:
            pair = prepare(work.task, work.recipe, Path(folder))
            row = {**row, "truth": pair.truth, **pair.places}
            start = time.perf_counter()
            found = _ANSWERS[work.method.kind](pair, work)
            row = {**row, **found}
    except Exception as error:
        row["error"] = _reason(error, work.task)
    row.setdefault("seconds", round(time.perf_counter() - start, 4))
    row.setdefault("peak_memory_mib", round(_peak_memory_mib(), 1))
    return row


def identity(task: Task) -> PredictionRow:
    """What a row says of its pair. No paths: a file of predictions may be published."""
    change = task.change
    changed: Changed = {}
    if change is not None and change.factor is not None:
        changed = {"factor": change.factor, "value": change.value}
    return {
        "id": task.id,
        "set": task.set,
        "kind": task.kind,
        "related": task.related,
        "truth": task.truth,
        **changed,
        "error": None,
    }


def _registered(pair: PreparedPair, work: PredictionJob) -> Answer:
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        sizes = _sizes(fixed, moving)
        options, start = work.method.options(work.recipe), time.perf_counter()
        result = work.register(fixed, moving, options)
        seconds, peak_mib = time.perf_counter() - start, _peak_memory_mib()
        cells = dense_matches(fixed, moving, options) if work.dense else None
    if cells is not None and work.dense is not None:
        save_matches(work.dense, work.task.id, cells)
    if work.matches:
        save_matches(work.matches, work.task.id, result.correspondences)
    return {
        **sizes,
        "seconds": round(seconds, 4),
        "peak_memory_mib": round(peak_mib, 1),
        "transform": None if result.transform is None else result.transform.as_dict(),
        "verdict": json_ready(dataclasses.asdict(result.verdict)),
        "correspondences": {"count": len(result.correspondences), "inliers": int(result.inliers.sum())},
        "stages_s": json_ready(result.seconds),
        "error_map": None if result.error_map is None else saved_error_map(result.error_map),
    }


def _of_peer(pair: PreparedPair, work: PredictionJob) -> Answer:
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        sizes = _sizes(fixed, moving)
    settings = work.method.settings(work.recipe, as_map(pair.truth))
    peer = load_peer(work.method.uses)
    fixed_path, moving_path = Path(pair.fixed), Path(pair.moving)
    if work.method.kind == "control":
        # They are ours and look at next to nothing: a process each would cost more than all the rest.
        start = time.perf_counter()
        run = PeerRun(peer(fixed_path, moving_path, settings), time.perf_counter() - start, None)
    else:
        run = isolated(peer, fixed_path, moving_path, settings, timeout_s=work.recipe.peer_timeout_s)
    found = run.found
    return {
        **sizes,
        "transform": None if found.transform is None else map_as_dict(found.transform),
        # A peer that gives a transform stands by it; how sure it is, it does not say.
        "verdict": {"accepted": found.transform is not None, "probability": None, "reason": found.reason},
        "correspondences": {"count": found.correspondences, "inliers": found.inliers},
        "error": {"code": "peer", "message": _without(found.reason or "", pair)} if found.failed else None,
        "seconds": round(run.seconds, 4),
        "peak_memory_mib": None if run.peak_memory_mib is None else round(run.peak_memory_mib, 1),
    }


def _of_feature(pair: PreparedPair, work: PredictionJob) -> Answer:
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        sizes = _sizes(fixed, moving)
    method = work.method
    return {**sizes, **features.answer(pair, work.task, method.uses, method.spec, work.recipe, work.matches)}


_ANSWERS: dict[MethodKind, Callable[[PreparedPair, PredictionJob], Answer]] = {
    "matcher": _registered,
    "peer": _of_peer,
    "control": _of_peer,
    "feature": _of_feature,
}


def _without(reason: str, pair: PreparedPair) -> str:
    """The reason with the names of files instead of their paths."""
    for path in (pair.fixed, pair.moving):
        reason = reason.replace(path, os.path.basename(path))
    return reason


def _sizes(fixed: Source, moving: Source) -> Sizes:
    return {
        "fixed_size": [fixed.header.width, fixed.header.height],
        "moving_size": [moving.header.width, moving.header.height],
    }


def _reason(error: Exception, task: Task) -> Problem:
    """Why a pair failed. A fault of our own keeps its trace, so that it can be mended; the rest goes on."""
    if isinstance(error, XmatchError):
        code = "manifest" if task.problem else error.code
        file = error.path and os.path.basename(error.path)
        return {"code": code, "message": f"{file}: {error.message}" if file else error.message, "hint": error.hint}
    if is_out_of_memory(error):
        return problem_of(ResourceError("out of memory"))
    return {"code": "internal", "message": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}


def problem_of(error: XmatchError) -> Problem:
    return {"code": error.code, "message": error.message, "hint": error.hint, "path": error.path}


def _reset_peak_memory() -> None:
    """Make the kernel forget the peak so far, so that a pair's own can be read; Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mib() -> float:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
