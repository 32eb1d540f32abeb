"""Processes that make scenes beside the training: a GPU that draws pairs of them asks faster than one core can answer.

A scene is handed over as a file: that costs the process that trains a read without the interpreter's lock, where a pipe
would cost it a copy under it, and containers keep shared memory small.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xmatch.errors import ResourceError
from xmatch.synth.sources.scenes import Job, StoredScene, make_scene

AHEAD = 4
"""Scenes asked for before they are needed, for each process."""
COUNTED = 200
"""Scenes by which the pace is told: later ones may have been waited for."""
SPARE_CORES = 2
"""For the process that trains and its backward pass."""

_Written = tuple[StoredScene, Path]
"""A scene without its planes, and where they are."""


class Makers:
    """A `SceneMaker` of several processes.

    Args:
        count: of processes, of one thread each.
        folder: for the files of scenes that are made and not yet taken.
        pinned: scenes lie where a GPU can fetch them while the host goes on.
    """

    def __init__(self, count: int, folder: Path, pinned: bool) -> None:
        self.ahead = AHEAD * count
        self._processes = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin)
        self._reader = ThreadPoolExecutor(1)
        self._folder, self._pinned = folder, pinned
        self._asked: dict[Job, Future[StoredScene]] = {}
        self._done_at: list[float] = []

    def ask(self, job: Job) -> None:
        if job not in self._asked:
            path = self._folder / "-".join(map(str, (job.side, *job.seed)))
            self._asked[job] = self._reader.submit(self._read, self._processes.submit(_write, job, path))

    def take(self, job: Job) -> StoredScene:
        """
        Raises:
            ResourceError: a process is gone.
        """
        self.ask(job)
        try:
            return self._asked.pop(job).result()
        except BrokenProcessPool:
            raise ResourceError(
                "a process that makes scenes ended; was it killed for want of memory?",
                hint="free memory, or set makers: 0 in the recipe",
            ) from None

    @property
    def per_second(self) -> float:
        """Scenes made, of the first `COUNTED`: later ones may have been waited for; 0 before the third."""
        times = self._done_at[:COUNTED]
        return (len(times) - 1) / max(times[-1] - times[0], 1e-9) if len(times) > 2 else 0.0

    def close(self) -> None:
        self._processes.shutdown(wait=True, cancel_futures=True)
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, written: Future[_Written]) -> StoredScene:
        scene, path = written.result()
        with open(path, "rb") as file:
            planes, *others = (torch.from_numpy(np.load(file)) for _ in range(3))
        path.unlink()
        self._done_at.append(time.monotonic())
        if self._pinned:
            planes, *others = (part.pin_memory() if len(part) else part for part in (planes, *others))
        offset, height = (part if len(part) else None for part in others)
        return replace(scene, planes=planes, offset=offset, height=height)


@contextlib.contextmanager
def open_makers(count: int, pinned: bool) -> Iterator[Makers]:
    """`Makers`, and their folder while they are at work."""
    with tempfile.TemporaryDirectory(prefix="xmatch-scenes-", ignore_cleanup_errors=True) as folder:
        makers = Makers(count, Path(folder), pinned)
        try:
            yield makers
        finally:
            makers.close()


def spare_cores() -> int:
    """Processes that this machine has cores for beside the one that trains; 1 at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - SPARE_CORES)


def _begin() -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the process that trains decides
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _write(job: Job, path: Path) -> _Written:
    from xmatch.synth.worlds import make_world

    scene = make_scene(job, make_world)
    with open(path, "wb") as file:
        for part in (scene.planes, scene.offset, scene.height):
            np.save(file, np.empty(0) if part is None else part.numpy())
    return replace(scene, planes=torch.empty(0), offset=None, height=None), path
