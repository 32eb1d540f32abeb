"""Shards: tar files of training pairs in the layout of WebDataset, written one by one, each whole or not at all.

Every shard has random numbers of its own, from the seed and its number, and sources of its own. So they may be made in
any order and by any process, and a run that was stopped makes those that it lacks and ends with the same bytes as one
that was not.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xmatch.errors import InputError, OutputError
from xmatch.io.checksum import sha256
from xmatch.io.writing.atomic import atomic_write, step
from xmatch.ops.threads import torch_threads
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.manifest import NAME, QUARANTINE, Manifest, Shard, read_manifest, write_manifest
from xmatch.synth.mixture import Mixture
from xmatch.synth.pairs import draw_pairs
from xmatch.synth.samples import Files, encode
from xmatch.synth.seeds import device_rng

BATCH = 8
"""Pairs made at once; the bytes depend on it."""


@dataclass(frozen=True)
class Plan:
    """What is to be written."""

    count: int
    """Pairs."""
    size: int = 512
    """Their side, px."""
    shard_pairs: int = 256
    """Pairs per shard; the last one may have fewer."""
    channels: int = 1
    """Of the images: 1 or 3."""
    seed: int = 0
    difficulty: Difficulty = Difficulty.FULL
    settings: tuple[tuple[str, Any], ...] = ()
    """What else the pairs depend on, for the manifest; JSON values."""

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_pairs)

    @property
    def bytes(self) -> int:
        """About what they take on disk."""
        # Noisy grey levels compress by a tenth, masks to nothing, warps (4 bytes a px, every other pair) by a tenth.
        return int(self.count * self.size**2 * (1.8 * self.channels + 1.8))

    def as_settings(self) -> dict[str, Any]:
        """Everything that decides the bytes."""
        return {**{k: v for k, v in asdict(self).items() if k != "settings"}, **dict(self.settings), "batch": BATCH}


def resume(folder: Path, plan: Plan, overwrite: bool = False, dry_run: bool = False) -> Manifest:
    """What of the plan is there already; with `overwrite` an earlier run's files are removed first
    (unless it is a `dry_run`).

    Raises:
        OutputError: the folder holds shards made with other settings, or files that are not ours.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError("is not a folder", hint="choose another --output", path=folder)
    fresh = Manifest(plan.as_settings())
    try:
        found = read_manifest(folder)
    except InputError as error:
        if not overwrite:
            raise OutputError(error.message, hint="--overwrite makes the shards again", path=error.path) from None
        found = fresh
    if found is None:
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise OutputError("the folder is not empty", hint="choose another --output", path=folder)
        return fresh
    if overwrite:
        for path in [] if dry_run else [folder / NAME, *folder.glob("pairs-*.tar"), folder / QUARANTINE]:
            path.unlink(missing_ok=True)
        return fresh
    if found.settings != fresh.settings:
        changed = [k for k in fresh.settings if found.settings.get(k) != fresh.settings[k]]
        raise OutputError(
            f"holds shards made with other settings ({', '.join(changed) or 'more of them'})",
            hint="--overwrite replaces them",
            path=folder,
        )
    return replace(found, shards=tuple(_complete(folder, found)))


def missing(plan: Plan, done: Manifest) -> list[int]:
    """Numbers of the shards that `done` lacks."""
    there = {shard.first // plan.shard_pairs for shard in done.shards}
    return [number for number in range(plan.shards) if number not in there]


def write_shards(folder: Path, done: Manifest, shards: Iterable[Shard]) -> Manifest:
    """Keep the folder's list while shards are made, which come in any order.

    Args:
        done: what `resume` found.
        shards: of the same plan, each there when it is given.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", path=folder) from error
    if not done.shards:
        write_manifest(folder, done)  # says whose folder this is, should the run end before its first shard
    for shard in shards:
        done = replace(done, shards=tuple(sorted((*done.shards, shard), key=lambda each: each.first)))
        write_manifest(folder, done)
    return done


def write_shard(
    folder: Path,
    plan: Plan,
    number: int,
    mixture: Mixture,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda pairs: None,
) -> Shard:
    """Make one shard.

    Args:
        mixture: of sources that nothing has been drawn from.
        progress: called with the number of pairs that have just been made.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
        InputError: no usable image is left.
    """
    name = f"pairs-{number:06d}.tar"
    first = number * plan.shard_pairs
    count = min(plan.shard_pairs, plan.count - first)
    # Sums that several threads share are rounded otherwise, and the bytes would tell.
    with atomic_write(folder / name, overwrite=True) as temporary, torch_threads(1):
        samples = _drawn(plan, mixture, number, first, count, device, progress)
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for key, files in samples:
                step("block")
                for ending, data in files.items():
                    member = tarfile.TarInfo(f"{key}.{ending}")  # of time 0: equal pairs are equal bytes
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        return Shard(name, first, count, temporary.stat().st_size, sha256(temporary))


def _drawn(
    plan: Plan,
    mixture: Mixture,
    number: int,
    first: int,
    count: int,
    device: str,
    progress: Callable[[int], None],
) -> Iterator[tuple[str, Files]]:
    rng = device_rng(device, plan.seed, number)
    for start in range(0, count, BATCH):
        batch = min(BATCH, count - start)
        pairs = draw_pairs(mixture, batch, plan.size, rng, plan.difficulty, plan.channels)
        for i in range(batch):
            index = first + start + i
            yield f"{index:09d}", encode(pairs, i, {"index": index, "seed": plan.seed})
        progress(batch)


def _complete(folder: Path, found: Manifest) -> Iterator[Shard]:
    """Shards that are there as the manifest says."""
    for shard in found.shards:
        path = folder / shard.name
        if path.is_file() and path.stat().st_size == shard.bytes:
            yield shard
