"""Worker processes of this machine, of which one may die without taking the run along."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from xmatch.workers.lost import Lost

Item = TypeVar("Item")
Answer = TypeVar("Answer")

ATTEMPTS = 2
"""Of an item whose process dies: the first death may have been somebody else's doing."""
GRACE_S = 5.0
"""For a worker that is told to stop to take its temporary files along."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by libraries when they are imported, which a spawned process does before any code of ours runs."""


class Stopped(SystemExit):
    """A worker was told to stop. Not an Exception, so that no handler on the way mistakes it for a failed step; between
    two items it ends the process, which says nothing then."""


@dataclass
class _Attempt(Generic[Item]):
    item: Item
    worker: _Worker
    number: int = 1


def run_in_processes(
    work: Callable[[Item], Answer], items: Iterable[Item], jobs: int, threads: int = 1, limit_s: float | None = None
) -> Generator[tuple[Item, Answer | Lost], None, None]:
    """(item, work(item)) in the order of completion; (item, `Lost`) where `ATTEMPTS` processes died of it, or where it
    took too long, which is not tried again.

    Workers are spawned, not forked: OpenCV, GDAL and torch do not survive a fork once they have threads. A caller that
    stops asking, or is interrupted, ends them at once; so does its own death.

    Args:
        work: picklable; what it raises is raised here.
        items: picklable; taken one by one as workers become free.
        jobs: processes.
        threads: of the numeric libraries in each.
        limit_s: after which an item is given up, seconds since its process began it.
    """
    left = iter(items)
    flying: dict[Future[Any], _Attempt[Item]] = {}
    with _workers(jobs, threads) as idle:
        while True:
            while idle and (item := next(left, _NONE)) is not _NONE:
                attempt = _Attempt(item, idle.pop())
                flying[attempt.worker.submit(_within, (work, item, limit_s, GRACE_S))] = attempt
            if not flying:
                return
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                attempt = flying.pop(future)
                try:
                    answer: Answer | Lost = future.result()
                except (BrokenProcessPool, Stopped):
                    is_late = attempt.worker.ended_late()
                    if attempt.number < ATTEMPTS and not is_late:
                        again = _Attempt(attempt.item, attempt.worker, attempt.number + 1)
                        flying[again.worker.submit(_within, (work, again.item, limit_s, GRACE_S))] = again
                        continue
                    answer = Lost.OVERDUE if is_late else Lost.DIED
                if answer is Lost.OVERDUE:
                    attempt.worker.close()  # it was torn out of its work anywhere
                idle.append(attempt.worker)
                yield attempt.item, answer


_NONE: Any = object()


class _Worker:
    """A pool of one process: a pool breaks as a whole when one of its processes dies."""

    def __init__(self, stop: Connection) -> None:
        self._stop = stop
        self._pool: ProcessPoolExecutor | None = None
        self._heard: Connection | None = None
        self._tells: Connection | None = None

    def submit(self, work: Callable[[Item], Answer], item: Item) -> Future[Answer]:
        if self._pool is not None:
            try:
                return self._pool.submit(work, item)
            except BrokenProcessPool:  # it died of the item before, or since
                self.close()
        context = multiprocessing.get_context("spawn")
        self._heard, self._tells = context.Pipe(duplex=False)
        os.set_blocking(self._tells.fileno(), False)  # nobody empties it, and what is at its end shall not wait
        self._pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self._stop, self._tells))
        return self._pool.submit(work, item)

    def ended_late(self) -> bool:
        """Whether the process ended itself because its work was late, and did not die of something else."""
        return self._heard is not None and self._heard.poll()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        for end in (self._heard, self._tells):
            if end is not None:
                end.close()
        self._heard = self._tells = None


@contextlib.contextmanager
def _workers(jobs: int, threads: int) -> Iterator[list[_Worker]]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    # Numpy's sums, which threads round in their own way, are those of this process, or of one thread.
    as_here = {"OPENBLAS_NUM_THREADS": before["OPENBLAS_NUM_THREADS"] or "1"}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) | as_here)
    # Only this process has the end that is written to: the others see it closed, by us or by our death.
    stop, held = multiprocessing.Pipe(duplex=False)
    workers = [_Worker(stop) for _ in range(jobs)]
    try:
        yield list(workers)
    except BaseException:
        held.close()
        raise
    finally:
        for worker in workers:
            worker.close()
        held.close()
        stop.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


_told = 2
"""File descriptor on which a process says that it ends itself: stderr, but in a worker."""


def _begin(stop: Connection, tells: Connection) -> None:
    global _told
    _told = os.dup(tells.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the process that asked for the work decides
    signal.signal(signal.SIGTERM, _unwind)
    threading.Thread(target=_end_with, args=(stop,), daemon=True).start()


def _end_with(stop: Connection) -> None:
    """Stop this process when the other end of `stop` is closed."""
    with contextlib.suppress(EOFError, OSError):
        stop.recv()
    _stop_main()
    time.sleep(GRACE_S)
    os._exit(1)


def _within(asked: tuple[Callable[[Item], Answer], Item, float | None, float]) -> Answer | Lost:
    """What the work answers within its time. It is told to stop after that, and if it does not (native code that never
    comes back, a file system that does not answer), the process ends without it."""
    work, item, limit_s, grace_s = asked
    if limit_s is None:
        return work(item)
    at_the_end, is_done, is_late = threading.Lock(), threading.Event(), threading.Event()

    def stop() -> None:
        with at_the_end:
            if not is_done.is_set():
                is_late.set()
                _stop_main()

    watch = threading.Timer(limit_s, stop)
    # A thread of the interpreter's own, which needs no lock that the work could hold.
    faulthandler.dump_traceback_later(limit_s + grace_s, exit=True, file=_told)
    watch.start()
    try:
        try:
            return work(item)
        finally:
            with at_the_end:
                is_done.set()
            while is_late.is_set() and signal.getsignal(signal.SIGTERM) is _unwind:
                time.sleep(0.01)  # what was sent while the work ended is still to come, and must not hit the next one
    except Stopped:
        if not is_late.is_set():
            raise
        return Lost.OVERDUE
    finally:
        watch.cancel()
        faulthandler.cancel_dump_traceback_later()


def _stop_main() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _unwind(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # once more, and it ends at once
    raise Stopped
