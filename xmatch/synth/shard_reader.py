"""Reading shards back."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from xmatch.errors import InputError
from xmatch.synth.samples import Files, StoredPair, decode


class ShardReader:
    """The pairs of one shard, in any order."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._members: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with tarfile.open(self.path) as tar:
                for member in tar:
                    key, _, ending = member.name.partition(".")
                    self._members.setdefault(key, {})[ending] = (member.offset_data, member.size)
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"not a readable shard: {error}", path=self.path) from None
        self.keys = tuple(self._members)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> StoredPair:
        files: Files = {}
        with self.path.open("rb") as stream:
            for ending, (offset, size) in self._members[self.keys[number]].items():
                stream.seek(offset)
                files[ending] = stream.read(size)
        return decode(files, f"{self.path}: {self.keys[number]}")

    def __iter__(self) -> Iterator[StoredPair]:
        return (self[number] for number in range(len(self)))
