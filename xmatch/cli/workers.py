"""`--jobs` and `--cluster`: where the items of a command are worked on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from xmatch.cli.options import Running, cores
from xmatch.errors import UsageError

if TYPE_CHECKING:
    from xmatch.workers.lost import Lost

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LOCAL = "local"


def shared(running: Running, count: int) -> Running:
    """`running` with as many threads for each of `count` as there are cores for it, unless it says how many."""
    return running if running.threads is not None else replace(running, threads=max(1, cores() // count))


@dataclass(frozen=True)
class Workers:
    """How many items are worked on at once, and where."""

    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            help="So many at once, each in a process of its own; default 1, with --cluster local all cores.",
            min=1,
            show_default=False,
            rich_help_panel="Workers",
        ),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            help="On a Dask cluster: tcp://HOST:PORT of its scheduler, or local for one that is started here.",
            metavar="WHERE",
            rich_help_panel="Workers",
        ),
    ] = None

    def check(self) -> None:
        """
        Raises:
            UsageError: `jobs` of a cluster whose workers are others' doing; no Dask.
        """
        if self.cluster is None:
            return
        if self.is_remote and self.jobs is not None:
            raise UsageError(
                "--jobs is for workers that are started here", hint="leave it out with --cluster tcp://..."
            )
        from xmatch.workers.cluster import import_distributed

        import_distributed()

    @property
    def are_several(self) -> bool:
        return self.cluster is not None or self.jobs not in (None, 1)

    @property
    def is_remote(self) -> bool:
        """Whether the workers may have another current directory."""
        return self.cluster not in (None, LOCAL)

    def shared(self, running: Running) -> Running:
        """`running` with as many threads for each worker as there are cores for it, unless it says how many."""
        if not self.are_several:
            return running
        return shared(running, cores() if self.cluster is not None else self.jobs or 1)

    def run(
        self, work: Callable[[Item], Answer], items: Iterable[Item], threads: int = 1, limit_s: float | None = None
    ) -> Generator[tuple[Item, Answer | Lost], None, None]:
        """(item, work(item)) in the order of completion; (item, `Lost`) where the process that worked on it died,
        twice, or took too long.

        Args:
            threads: of the numeric libraries in each process.
            limit_s: for one item. Even one at a time is worked on in a process of its own then, which can be ended.

        Raises:
            UsageError: no such cluster.
            ResourceError: the cluster went away.
        """
        if self.cluster is not None:
            from xmatch.workers.cluster import run_on_cluster

            workers = None if self.is_remote else self.jobs or cores()
            return run_on_cluster(work, items, self.cluster if self.is_remote else None, workers or 0, limit_s)
        if not self.are_several and limit_s is None:
            return ((item, work(item)) for item in items)
        from xmatch.workers.processes import run_in_processes

        return run_in_processes(work, items, self.jobs or 1, threads, limit_s)
