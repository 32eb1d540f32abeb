"""The same on Dask: a cluster that is there, or one of worker processes that is started here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from xmatch.errors import ResourceError, UsageError
from xmatch.workers.processes import ATTEMPTS

Item = TypeVar("Item")
Answer = TypeVar("Answer")

CONNECT_S = 20.0
"""For a scheduler to answer."""
NO_WORKER_S = 120.0
"""Without any worker, before the cluster counts as gone: some start theirs when they are asked."""
POLL_S = 2.0
"""Between two looks at whether it is still there, while nothing ends."""

_HERE = {
    "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    # What a worker of this machine does not answer within this it does not answer at all: it is dead.
    "distributed.comm.timeouts.connect": "10s",
}
"""Settings of a cluster that is started here."""

_NONE: Any = object()


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
    work: Callable[[Item], Answer], items: Iterable[Item], address: str | None, workers: int = 1
) -> Iterator[tuple[Item, Answer | None]]:
    """(item, work(item)) in the order of completion; (item, None) where workers died of it, as often as the scheduler
    allows (`ATTEMPTS` times on a cluster that is started here).

    No more items are on their way than there are threads of workers, so that a death points at one of them.

    Args:
        work: importable where the workers are; what it raises is raised here.
        items: picklable; taken one by one.
        address: of the scheduler, such as "tcp://10.0.0.1:8786"; None: a cluster is started here.
        workers: processes of one thread each of a cluster that is started here.

    Raises:
        UsageError: nobody answers there, or the workers have another version of xmatch, or none.
        ResourceError: the cluster went away.
    """
    distributed = import_distributed()
    left = iter(items)
    flying: dict[Any, tuple[Item, int]] = {}
    """Future -> item, and how often it has been asked."""
    with _client(distributed, address, workers) as client:
        lost = distributed.client.FutureCancelledError
        try:
            seen = time.monotonic()
            while True:
                threads = sum(client.nthreads().values())
                seen = time.monotonic() if threads else seen
                if time.monotonic() - seen > NO_WORKER_S:
                    raise _gone(address)
                while len(flying) < max(threads, 1) and (item := next(left, _NONE)) is not _NONE:
                    flying[client.submit(work, item, pure=False)] = item, 1
                if not flying:
                    return
                with contextlib.suppress(TimeoutError):
                    distributed.wait(list(flying), timeout=POLL_S, return_when="FIRST_COMPLETED")
                for future in [future for future in flying if future.done()]:
                    item, attempt = flying.pop(future)
                    try:
                        answer: Answer | None = future.result()
                    except distributed.KilledWorker:
                        answer = None
                    except lost:
                        # Its worker died of another item before the answer had left it; or the scheduler did.
                        if client.status != "running":
                            raise
                        if attempt < ATTEMPTS:
                            flying[client.submit(work, item, pure=False)] = item, attempt + 1
                            continue
                        answer = None
                    yield item, answer
        except (distributed.comm.CommClosedError, distributed.client.FuturesCancelledError, lost):
            raise _gone(address) from None
        finally:
            with contextlib.suppress(Exception):  # of a cluster that is gone
                client.cancel(list(flying), force=True)


def _gone(address: str | None) -> ResourceError:
    where = address or "the cluster that was started here"
    return ResourceError(f"{where} went away", hint="what is done is kept; the same line goes on when it is back")


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
        _check_versions(client)
        yield client


def _check_versions(client: Any) -> None:
    from xmatch._version import __version__

    try:
        found = set(client.run(_version, on_error="return").values())
    except Exception as error:
        raise UsageError(f"the workers cannot run xmatch: {error}", hint="install it where they are") from error
    if others := sorted(map(str, found - {__version__})):
        raise UsageError(f"workers have another xmatch than {__version__}: {', '.join(others)}")


def _version() -> str:
    from xmatch._version import __version__

    return __version__
