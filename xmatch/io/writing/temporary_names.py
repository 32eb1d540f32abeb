"""Names of files that are being written, and what killed runs have left under such names."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from hashlib import blake2s
from pathlib import Path

_LONGEST_LABEL = 120  # bytes of a target's name kept in the temporary one: most file systems stop at 255


def left_behind(target: Path) -> list[Path]:
    """Temporary files of `target` whose process is gone; under its lock."""
    found = []
    for left in target.parent.glob(as_pattern(prefix_of(target)) + "*.tmp*"):
        named = re.match(r"(\d+)\.[0-9a-f]{8}\.tmp", left.name[len(prefix_of(target)) :])
        if named and (int(named[1]) == os.getpid() or not _is_running(int(named[1]))):
            found.append(left)
    return found


def prefix_of(target: Path) -> str:
    """What the names of the temporary files and the lock of a target start with; they hide in listings."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_LABEL or plain(name) != name:
        name = blake2s(os.fsencode(name), digest_size=8).hexdigest()
    return f".{name}."


def plain(name: str) -> str:
    """`name` when it is proper UTF-8, which GDAL insists on; else nothing."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return ""
    return name


def as_pattern(name: str) -> str:
    """`name` as a glob pattern that matches only itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        with contextlib.suppress(OSError):
            path.unlink()
