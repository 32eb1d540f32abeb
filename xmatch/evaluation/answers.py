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
from typing import Any

from xmatch.errors import ResourceError, XmatchError
from xmatch.evaluation.dense import dense_matches
from xmatch.evaluation.matches import save_matches
from xmatch.evaluation.methods import Method
from xmatch.evaluation.peers.isolation import Run, isolated
from xmatch.evaluation.peers.registry import load_peer
from xmatch.evaluation.plan import Task
from xmatch.evaluation.prepare import Prepared, prepare
from xmatch.evaluation.recipe import EvalRecipe
from xmatch.evaluation.truths import as_map
from xmatch.io import open_source
from xmatch.result import Registration

Register = Callable[..., Registration]
"""`xmatch.registration.pipeline.register` or a stand-in: (fixed, moving, options) -> Registration."""


@dataclass(frozen=True)
class Work:
    """One pair for one method; picklable."""

    task: Task
    recipe: EvalRecipe
    method: Method
    register: Register
    matches: Path | None = None
    """Folder for the correspondences, when they are kept."""
    dense: Path | None = None
    """Folder for what dense matchers say of every cell, when that is judged."""


def answer(work: Work) -> dict[str, Any]:
    """The row; whatever happens is told in it."""
    row = identity(work.task)
    _reset_peak_memory()
    start = time.perf_counter()
    try:
        if work.task.problem:
            raise XmatchError(work.task.problem)
        with tempfile.TemporaryDirectory() as folder:
            pair = prepare(work.task, work.recipe, Path(folder))
            row["truth"] = pair.truth
            start = time.perf_counter()
            row |= (_registered if work.method.kind == "matcher" else _found)(pair, work)
    except Exception as error:
        row["error"] = _reason(error, work.task)
    row.setdefault("seconds", round(time.perf_counter() - start, 4))
    row.setdefault("peak_memory_mib", round(_peak_memory_mib(), 1))
    return row


def identity(task: Task) -> dict[str, Any]:
    """What a row says of its pair. No paths: a file of predictions may be published."""
    known = {"id": task.id, "set": task.set, "kind": task.kind, "related": task.related, "truth": task.truth}
    if task.change is not None:
        known |= {"factor": task.change.factor, "value": task.change.value}
    return {**known, "error": None}


def _registered(pair: Prepared, work: Work) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(open_source(path)) for path in (pair.fixed, pair.moving)]
        sizes = _sizes(sources)
        options, start = work.method.options(work.recipe), time.perf_counter()
        result = work.register(*sources, options)
        cost = {"seconds": round(time.perf_counter() - start, 4), "peak_memory_mib": round(_peak_memory_mib(), 1)}
        cells = dense_matches(*sources, options) if work.dense else None
    if cells is not None:
        save_matches(work.dense, work.task.id, cells)
    if work.matches:
        save_matches(work.matches, work.task.id, result.correspondences)
    return {
        **sizes,
        **cost,
        "transform": None if result.transform is None else result.transform.as_dict(),
        "verdict": _json_ready(dataclasses.asdict(result.verdict)),
        "correspondences": {"count": len(result.correspondences), "inliers": int(result.inliers.sum())},
        "stages_s": _json_ready(result.seconds),
    }


def _found(pair: Prepared, work: Work) -> dict[str, Any]:
    with open_source(pair.fixed) as fixed, open_source(pair.moving) as moving:
        sizes = _sizes([fixed, moving])
    settings = work.method.settings(work.recipe, as_map(pair.truth))
    peer = load_peer(work.method.uses)
    fixed_path, moving_path = Path(pair.fixed), Path(pair.moving)
    if work.method.kind == "control":
        # They are ours and look at next to nothing: a process each would cost more than all the rest.
        start = time.perf_counter()
        found = peer(fixed_path, moving_path, settings)
        run = Run(found, time.perf_counter() - start, None)
    else:
        run = isolated(peer, fixed_path, moving_path, settings, timeout_s=work.recipe.peer_timeout_s)
    found = run.found
    return sizes | {
        "transform": None if found.transform is None else found.transform.as_dict(),
        # A peer that gives a transform stands by it; how sure it is, it does not say.
        "verdict": {"accepted": found.transform is not None, "probability": None, "reason": found.reason},
        "correspondences": {"count": found.correspondences, "inliers": found.inliers},
        "error": {"code": "peer", "message": _without(found.reason, pair)} if found.failed else None,
        "seconds": round(run.seconds, 4),
        "peak_memory_mib": None if run.peak_memory_mib is None else round(run.peak_memory_mib, 1),
    }


def _without(reason: str, pair: Prepared) -> str:
    """The reason with the names of files instead of their paths."""
    for path in (pair.fixed, pair.moving):
        reason = reason.replace(path, os.path.basename(path))
    return reason


def _sizes(sources: list) -> dict[str, list[int]]:
    names = ("fixed_size", "moving_size")
    return {name: [s.header.width, s.header.height] for name, s in zip(names, sources, strict=True)}


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
