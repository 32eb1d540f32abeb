"""What `xmatch synth` asks of processes: one shard, or one scene, each."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xmatch.cli.runtime import quiet_libraries
from xmatch.cli.workers import Workers
from xmatch.ops.threads import opencv_threads
from xmatch.workers.lost import Lost

if TYPE_CHECKING:
    from xmatch.synth.learned.base import LoadOptions
    from xmatch.synth.manifest import Shard
    from xmatch.synth.recipe import Loaders, SourceSpec, SynthRecipe
    from xmatch.synth.shards import Plan

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ShardItem:
    """One shard, as a worker is given it."""

    folder: Path
    plan: Plan
    number: int
    data: tuple[SourceSpec, ...]
    load: LoadOptions
    """Of learned modalities; its device is that of the pairs."""


@dataclass(frozen=True)
class SceneItem:
    """One scene of posed views."""

    folder: Path
    kinds: tuple[str, ...]
    recipe: SynthRecipe
    number: int


@dataclass(frozen=True)
class Made:
    shard: Shard
    rejected: dict[str, str]
    """Images that turned out unusable, and why."""


def make_shard(item: ShardItem) -> Made:
    from xmatch.synth.recipe import build_mixture
    from xmatch.synth.shards import write_shard

    quiet_libraries()
    with opencv_threads(1):
        loaders = _held(item.plan.size, item.load)
        mixture = build_mixture(item.data, loaders=loaders)
        shard = write_shard(item.folder, item.plan, item.number, mixture, item.load.device)
    return Made(shard, loaders.rejected)


def make_scene(item: SceneItem) -> None:
    from xmatch.synth.posed import write_scene

    if multiprocessing.parent_process() is not None:
        quiet_libraries()
    with opencv_threads(1):
        write_scene(item.folder, item.kinds, item.recipe, item.number)


def each_made(workers: Workers, work: Callable[[Item], Answer], items: Iterable[Item]) -> Generator[Answer, None, None]:
    """What workers make of the items, in the order in which it is there.

    Raises:
        ResourceError: the process died that one was made in, twice; the cluster went away.
    """
    with contextlib.closing(workers.run(work, items)) as answers:
        for _, answer in answers:
            if isinstance(answer, Lost):
                raise answer.as_error("made pairs", "fewer --jobs; the same line goes on where it stopped")
            yield answer


def shards_made(
    workers: Workers, items: list[ShardItem], unusable: dict[str, str], count: Callable[[int], None]
) -> Generator[Shard, None, None]:
    """Shards as workers make them; images that they could not use, and why, go into `unusable`."""
    with contextlib.closing(each_made(workers, make_shard, items)) as answers:
        for made in answers:
            unusable |= made.rejected
            count(made.shard.count)
            yield made.shard


_MINE = threading.local()
"""Of each thread: a worker of Dask may have several."""


def _held(size_px: int, load: LoadOptions) -> Loaders:
    """Files and networks that this worker has read already, for all shards of a run."""
    from xmatch.cli.image_files import image_files
    from xmatch.synth.learned.registry import LearnedModalities
    from xmatch.synth.recipe import Loaders

    if getattr(_MINE, "key", None) != (size_px, load):
        _MINE.key, _MINE.held = (size_px, load), Loaders(image_files(size_px), LearnedModalities(load))
    held: Loaders = _MINE.held
    return held
