"""Checkpoints: all that a run needs to go on as if it had never stopped.

A checkpoint is what torch.save makes of plain tensors and numbers, under a name that holds the start of its own
SHA-256, since neither torch nor the zip container notices flipped bits. The newest two are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xmatch.errors import ModelError, OutputError
from xmatch.io.writing.atomic import atomic_write

KEPT = 2
"""Checkpoints of a folder: the newest, and one to fall back on where it is damaged."""
SCHEMA = "xmatch.training/1"

_NAME = re.compile(r"checkpoint-(\d{8,})\.([0-9a-f]{16})\.pt")


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Write `state`, which has a "step", and remove all but the newest two.

    Raises:
        OutputError: it cannot be written; those before it are still there.
    """
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA, **state}, buffer)
    data = buffer.getvalue()
    path = folder / f"checkpoint-{state['step']:08d}.{_digest(data)}.pt"
    if not path.exists():
        with atomic_write(path, verify=lambda written: _same(written, data)) as temporary:
            Path(temporary).write_bytes(data)
    for old in checkpoints(folder)[KEPT:]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Of a folder, newest first."""
    found = [(int(name[1]), path) for path in folder.glob("checkpoint-*.pt") if (name := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def load_newest(folder: Path, warn: Callable[[str], object]) -> tuple[dict[str, Any], Path] | None:
    """The newest checkpoint that is whole, tensors on the CPU; None where there is none at all.

    Args:
        warn: called for each checkpoint that is passed over.

    Raises:
        ModelError: there are some, and none can be used; or one holds more than tensors and numbers.
    """
    found = checkpoints(folder)
    for path in found:
        try:
            return _load(path), path
        except _Damaged as damage:
            warn(f"{path}: {damage}; the one before it is used")
    if found:
        raise ModelError("every checkpoint in this folder is damaged", hint="--no-resume begins anew", path=folder)
    return None


class _Damaged(Exception):
    """Not the bytes that were written."""


def _load(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _Damaged(f"cannot be read: {error.strerror}") from None
    name = _NAME.fullmatch(path.name)
    if name is None or _digest(data) != name[2]:
        raise _Damaged("is truncated or damaged")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError("holds more than tensors and numbers; it is not opened", path=path) from None
    except (RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"is no checkpoint: {' '.join(str(error).split())[:200]}", path=path) from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise ModelError(f"is no checkpoint of this version ({SCHEMA})", path=path)
    return state


def _same(written: Path, data: bytes) -> None:
    if written.read_bytes() != data:  # a full disk may have kept silent
        raise OutputError("reads back other bytes than were written: is the disk full?")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
