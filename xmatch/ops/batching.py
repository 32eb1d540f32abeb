"""Items that threads work on, each its own way, and what they ask of a device computed in batches.

A registration is a straight line with a few steps that a device does, in each of which it does many pairs in about the
time of one. So pairs run beside each other, a thread each, and meet at these steps: `together` waits there until half
of those under way have come, and one of them computes for all. The others read, decide and write meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any, TypeAlias, TypeVar

from xmatch.errors import is_out_of_memory
from xmatch.workers.processes import Stopped

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AT_ONCE = 16
"""Pairs under way at once where there is a GPU, unless told: half of them, which wait together, are a batch of eight.
Not tuned, for want of a GPU."""

_Key: TypeAlias = tuple[Callable[..., Any], tuple[Hashable, ...]]

_here = threading.local()
"""Its `batch`: that of the thread, if it is in one."""


def together(work: Callable[..., Sequence[Answer]], items: Sequence[Item], *shared: Hashable) -> list[Answer]:
    """`work(items, *shared)`: an answer for each item, whatever other items are given beside it.

    In a thread of `run_together` it is called once for the items of all threads that wait for the same work with equal
    `shared`. Where memory does not suffice it is called for half of the items, and for the other half.

    Raises:
        Exception: what `work` raises for one of the items alone.
    """
    if not items:
        return []
    batch: _Batch | None = getattr(_here, "batch", None)
    found = _in_halves(work, items, shared, {}) if batch is None else batch.ask(work, items, shared)
    for answer in found:
        if isinstance(answer, _Failed):
            raise answer.error
    return found


def once(make: Callable[..., Answer], *words: Hashable) -> Answer:
    """`make(*words)`; among the threads of a `run_together` made by the first that asks, and the same for all."""
    batch: _Batch | None = getattr(_here, "batch", None)
    return make(*words) if batch is None else batch.once(make, words)


def run_together(
    work: Callable[[Item], Answer], items: Iterable[Item], at_once: int
) -> Generator[tuple[Item, Answer], None, None]:
    """(item, work(item)) in the order of completion, `at_once` of them under way, a thread each, which compute
    `together`.

    A caller that stops asking, or is interrupted, ends those that wait for the device; the others run on to where they
    ask it next, or to their end.

    Args:
        work: what it raises is raised here.
        items: taken one by one as threads become free.
    """
    batch, left = _Batch(), iter(items)
    flying: dict[Future[Answer], Item] = {}
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                begun = list(islice(left, at_once - len(flying)))
                batch.enter(len(begun))
                flying |= {pool.submit(batch.run, work, item): item for item in begun}
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    yield flying.pop(future), future.result()
        finally:
            batch.stop()


@dataclass(frozen=True)
class _Failed:
    """In place of an answer."""

    error: Exception


@dataclass(eq=False)
class _Request:
    """What one thread waits for."""

    key: _Key
    items: Sequence[Any]
    answers: list[Any] | None = None


@dataclass(eq=False)
class _Batch:
    """Threads under way, and what they wait for."""

    _changed: threading.Condition = field(default_factory=threading.Condition)
    _under_way: int = 0
    _waiting: list[_Request] = field(default_factory=list)
    _is_computing: bool = False
    _is_stopped: bool = False
    _most: dict[_Key, int] = field(default_factory=dict)
    """Items at once for which memory did suffice, of work for which it once had not."""
    _made: dict[_Key, Any] = field(default_factory=dict)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, count: int) -> None:
        """Before so many threads begin, so that the first one counts on the others."""
        with self._changed:
            self._under_way += count

    def run(self, work: Callable[[Item], Answer], item: Item) -> Answer:
        _here.batch = self
        try:
            return work(item)
        finally:
            _here.batch = None
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def once(self, make: Callable[..., Answer], words: tuple[Hashable, ...]) -> Answer:
        with self._making:
            if (make, words) not in self._made:
                self._made[make, words] = make(*words)
            made: Answer = self._made[make, words]
            return made

    def ask(self, work: Callable[..., Sequence[Any]], items: Sequence[Any], shared: tuple[Hashable, ...]) -> list[Any]:
        """
        Raises:
            Stopped: nobody wants the answer any more.
        """
        request = _Request((work, shared), items)
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()
            while request.answers is None:
                if self._is_stopped:
                    raise Stopped
                if self._is_computing or 2 * len(self._waiting) < self._under_way:
                    self._changed.wait()
                else:
                    self._compute()
            return request.answers

    def _compute(self) -> None:
        """For all that wait, work by work, while others come to wait for the next time. Called with the lock held."""
        waiting, self._waiting, self._is_computing = self._waiting, [], True
        _here.batch = None  # what work asks for in its turn is computed at once: it would wait for itself
        groups: dict[_Key, list[_Request]] = {}
        for request in waiting:
            groups.setdefault(request.key, []).append(request)
        try:
            for (work, shared), requests in groups.items():
                self._changed.release()
                answers: Iterator[Any]
                try:
                    items = [item for request in requests for item in request.items]
                    answers = iter(_in_halves(work, items, shared, self._most))
                except Exception as error:  # as of a device that has failed for good, when memory is given back
                    answers = repeat(_Failed(error))
                finally:
                    self._changed.acquire()
                for request in requests:
                    request.answers = [next(answers) for _ in request.items]
                self._changed.notify_all()
        finally:
            self._is_computing, _here.batch = False, self
            self._changed.notify_all()


def _in_halves(
    work: Callable[..., Sequence[Any]], items: Sequence[Any], shared: tuple[Hashable, ...], most: dict[_Key, int]
) -> list[Any]:
    """Answers, of all items at once, or of halves where that fails, so that want of memory costs time and a fault the
    one item alone.

    Args:
        most: items at once; how many sufficed is added.
    """
    limit = most.get((work, shared), len(items))
    if len(items) > limit:
        parts = [items[start : start + limit] for start in range(0, len(items), limit)]
        return [answer for part in parts for answer in _in_halves(work, part, shared, most)]
    try:
        answers = list(work(items, *shared))
        if len(answers) != len(items):
            raise ValueError(f"{len(answers)} answers to {len(items)} items")
        return answers
    except Exception as error:
        # Without the trace, whose frames hold what had been computed.
        failed = error.with_traceback(None) if len(items) > 1 else error
    if len(items) == 1:
        return [_Failed(failed)]
    half = -(-len(items) // 2)
    if is_out_of_memory(failed):
        give_back()
        most[work, shared] = half
    return [a for part in (items[:half], items[half:]) for a in _in_halves(work, part, shared, most)]


def give_back() -> None:
    """What torch keeps of a GPU's memory for later, where torch is there."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
