"""The list of a folder's shards: what they were made with, and which are complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xmatch.errors import InputError
from xmatch.io.writing.atomic import atomic_write

SCHEMA = "xmatch.shards/1"
NAME = "manifest.jsonl"
QUARANTINE = "quarantine.jsonl"


@dataclass(frozen=True)
class Shard:
    """One complete shard."""

    name: str
    """File name, in the manifest's folder."""
    first: int
    """Number of its first pair."""
    count: int
    """Pairs in it."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    settings: dict[str, Any]
    """All that the pairs depend on; the same settings give the same bytes on the same machine."""
    shards: tuple[Shard, ...] = ()
    """In order; while they are made, some may be missing among them."""

    @property
    def count(self) -> int:
        """Pairs in complete shards."""
        return sum(shard.count for shard in self.shards)


def read_manifest(folder: str | Path) -> Manifest | None:
    """The manifest of a folder, None where there is none.

    Raises:
        InputError: it is damaged, or of another schema.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        header, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        if header["schema"] != SCHEMA:
            raise InputError(f"its schema is {header['schema']!r}, wanted {SCHEMA!r}", path=path)
        return Manifest(header["settings"], tuple(Shard(**row) for row in rows))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"a damaged manifest: {error}", hint="make the shards again", path=path) from None


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Replace the manifest of a folder."""
    rows = [{"schema": SCHEMA, "settings": manifest.settings}, *map(asdict, manifest.shards)]
    _write_lines(Path(folder) / NAME, rows)


def write_quarantine(folder: str | Path, rejected: Mapping[Any, str]) -> int:
    """Add inputs that could not be used, with reasons, to the folder's list; returns how many it then names."""
    path = Path(folder) / QUARANTINE
    known: dict[str, str] = {}
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        known = {row["path"]: row["reason"] for row in map(json.loads, lines)}
    found = known | {str(path): reason for path, reason in rejected.items()}
    if found != known:
        _write_lines(path, [{"path": path, "reason": reason} for path, reason in sorted(found.items())])
    return len(found)


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_write(path, overwrite=True) as temporary:
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        Path(temporary).write_text(text, encoding="utf-8")
