"""Worker processes of which one may die without taking the run along."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_in_workers(
    work: Callable[[Item], Answer], items: list[Item], jobs: int
) -> Iterator[tuple[Item, Answer | None]]:
    """(item, work(item)) in the order of completion; (item, None) where the worker was killed.

    Workers are spawned, not forked: OpenCV, GDAL and torch do not survive a fork once they have threads. Each has
    one thread; the parallelism is in `jobs`.
    """
    queue = deque(items)
    while queue:
        flying: dict = {}
        try:
            with _pool(jobs) as pool:
                while queue or flying:
                    # No more in flight than workers, so that a death points at few suspects.
                    while queue and len(flying) < jobs:
                        item = queue.popleft()
                        flying[pool.submit(work, item)] = item
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        answer = future.result()
                        yield flying.pop(future), answer
        except BrokenProcessPool:
            for suspect in flying.values():
                yield suspect, _alone(work, suspect)


def _alone(work: Callable[[Item], Answer], item: Item) -> Answer | None:
    with contextlib.suppress(BrokenProcessPool), _pool(1) as pool:
        return pool.submit(work, item).result()
    return None


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Libraries read these when they are imported, which a spawned process does before any code of ours runs.
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
