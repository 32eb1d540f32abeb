"""The same on Dask: a cluster that is there, or one of worker processes that is started here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from xmatch.errors import ResourceError, UsageError
from xmatch.workers.lost import Lost
from xmatch.workers.processes import ATTEMPTS

Item = TypeVar("Item")
Answer = TypeVar("Answer")

CONNECT_S = 20.0
"""For a scheduler to answer."""
NO_WORKER_S = 120.0
"""Without any worker, before the cluster counts as gone: some start theirs when they are asked."""
POLL_S = 2.0
"""Between two looks at whether it is still there, while nothing ends."""
SHORT_S = 0.1
"""Between two looks for a first worker."""

_HERE = {
    "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    # for a worker that died to be there again; a busy machine takes longer than the 15 s that are usual
    "distributed.deploy.lost-worker-timeout": NO_WORKER_S,
}
"""Settings of a cluster that is started here."""

_NONE: Any = object()


@dataclass
class _Flight(Generic[Item]):
    """An item that a worker has been asked for."""

    item: Item
    number: int = 1
    """How often it has been asked."""
    since: float = field(default_factory=time.monotonic)
    """When it was last handed to a worker: the scheduler gives those of a worker that is gone to another."""
    worker: str | None = None
    """Where it was last seen."""


def import_distributed() -> Any:
    """
    Raises:
        UsageError: it is not installed.
    """
    try:
        import dask
    except ImportError:
        raise UsageError("--cluster needs Dask, which is not installed", hint="pip install 'xmatch[cluster]'") from None
    # Its loggers have handlers and levels of their own, which it sets when it is imported; what matters is raised.
    dask.config.set({"logging": dict.fromkeys(("distributed", "distributed.client", "tornado"), "critical")})
    try:
        import distributed
    except ImportError:
        raise UsageError("--cluster needs Dask, which is not installed", hint="pip install 'xmatch[cluster]'") from None
    return distributed


def run_on_cluster(
    work: Callable[[Item], Answer],
    items: Iterable[Item],
    address: str | None,
    workers: int = 1,
    limit_s: float | None = None,
) -> Generator[tuple[Item, Answer | Lost], None, None]:
    """(item, work(item)) in the order of completion; (item, `Lost`) where workers died of it, as often as the scheduler
    allows (`ATTEMPTS` times on a cluster that is started here), or where it took too long, which is not tried again.

    No more items are on their way than there are threads of workers, so that a death points at one of them.

    Args:
        work: importable where the workers are; what it raises is raised here.
        items: picklable; taken one by one.
        address: of the scheduler, such as "tcp://10.0.0.1:8786"; None: a cluster is started here.
        workers: processes of one thread each of a cluster that is started here.
        limit_s: after which an item is given up and its worker started anew, seconds since it was handed over.

    Raises:
        UsageError: nobody answers there, or the workers have another version of xmatch, or none.
        ResourceError: the cluster went away.
    """
    distributed = import_distributed()
    left = iter(items)
    flying: dict[Any, _Flight[Item]] = {}
    """By its future."""
    with _client(distributed, address, workers) as client:
        there = _Workers(client)
        seen = time.monotonic()
        item = next(left, _NONE)
        try:
            while flying or item is not _NONE:
                with _gone_if_lost(distributed, address):
                    threads = there.count_threads()
                    seen = time.monotonic() if threads else seen
                    if time.monotonic() - seen > NO_WORKER_S:
                        raise ConnectionError("no worker is left")
                    while len(flying) < threads and item is not _NONE:
                        flying[client.submit(work, item, pure=False)] = _Flight(item)
                        item = next(left, _NONE)
                    if not flying:
                        time.sleep(SHORT_S)
                        continue
                    with contextlib.suppress(TimeoutError):
                        distributed.wait(list(flying), timeout=POLL_S, return_when="FIRST_COMPLETED")
                for future in [future for future in flying if future.done()]:
                    asked = flying.pop(future)
                    answer: Answer | Lost = Lost.DIED
                    try:
                        answer = future.result()
                    except distributed.KilledWorker:
                        pass
                    except (OSError, distributed.client.FutureCancelledError):
                        if future.status == "error":  # it is the work's own
                            raise
                        # Its worker died of another item before the answer had left it; or the scheduler did.
                        with _gone_if_lost(distributed, address):
                            if client.status != "running":
                                raise
                            if asked.number < ATTEMPTS:
                                again = _Flight(asked.item, asked.number + 1)
                                flying[client.submit(work, asked.item, pure=False)] = again
                                continue
                    yield asked.item, answer
                if limit_s is None or not flying:
                    continue
                with _gone_if_lost(distributed, address):
                    _see_where(client, flying)
                    late = [future for future, asked in flying.items() if _is_late(asked, limit_s, future)]
                    if late:
                        _give_up(client, late, flying)
                for future in late:
                    yield flying.pop(future).item, Lost.OVERDUE
        finally:
            with contextlib.suppress(Exception):  # of a cluster that is gone
                client.cancel(list(flying), force=True)


@contextlib.contextmanager
def _gone_if_lost(distributed: Any, address: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, distributed.client.FuturesCancelledError, distributed.client.FutureCancelledError) as error:
        where = address or "the cluster that was started here"
        hint = "what is done is kept; the same line goes on when it is back"
        raise ResourceError(f"{where} went away", hint=hint) from error


def _see_where(client: Any, flying: dict[Any, _Flight[Any]]) -> None:
    """Note which worker each is at; one that has left its own begins anew, and waits till then."""
    places = {key: worker for worker, keys in client.processing().items() for key in keys}
    for future, asked in flying.items():
        worker = places.get(future.key)
        if asked.worker not in (None, worker):
            asked.since = time.monotonic()
        asked.worker = worker or asked.worker


def _is_late(asked: _Flight[Any], limit_s: float, future: Any) -> bool:
    return time.monotonic() - asked.since > limit_s and not future.done()


def _give_up(client: Any, futures: list[Any], flying: dict[Any, _Flight[Any]]) -> None:
    """Forget them, and end the workers that are at them: a thread of theirs cannot be ended alone. What else these were
    at is tried again, and has its whole time for it."""
    busy = sorted({worker for future in futures if (worker := flying[future].worker) is not None})
    client.cancel(futures, force=True)
    if not busy:
        return
    try:
        client.restart_workers(busy, timeout=CONNECT_S, raise_for_error=False)
    except ValueError:  # they have no nanny that would start them again
        client.retire_workers(busy, close_workers=True)
    for asked in flying.values():
        if asked.worker in busy:
            asked.since = time.monotonic()


class _Workers:
    """Those of a cluster, each asked for its version when it is first seen."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._known: set[str] = set()

    def count_threads(self) -> int:
        """
        Raises:
            UsageError: a worker has another version of xmatch, or none.
            OSError: the scheduler does not answer.
        """
        from xmatch._version import __version__

        threads: dict[str, int] = self._client.nthreads()
        if fresh := sorted(threads.keys() - self._known):
            found = self._client.run(_version, workers=fresh, on_error="return")
            for worker, version in found.items():
                if isinstance(version, ImportError):
                    raise UsageError(f"the worker {worker} has no xmatch: {version}", hint="install it there")
                if isinstance(version, str) and version != __version__:
                    message = f"the worker {worker} has xmatch {version}, not {__version__}"
                    raise UsageError(message, hint="install the same there")
            self._known |= set(fresh)
        return sum(threads.values())


@contextlib.contextmanager
def _client(distributed: Any, address: str | None, workers: int) -> Iterator[Any]:
    import dask

    with contextlib.ExitStack() as stack:
        if address is None:
            stack.enter_context(dask.config.set(_HERE))
            cluster = distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
            stack.enter_context(cluster)
            address = cluster.scheduler_address
        try:
            client = distributed.Client(address, timeout=CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(f"no scheduler of Dask answers at {address}", hint="tcp://HOST:PORT, or local") from error
        stack.callback(client.close, timeout=POLL_S)
        yield client


def _version() -> str:
    from xmatch._version import __version__

    return __version__
