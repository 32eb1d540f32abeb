"""What stands between a path and the libraries that read weights: regular files of a known kind."""

from __future__ import annotations

import os
import stat
from typing import Literal

from xmatch.errors import ModelError

Kind = Literal["safetensors", "torch zip", "torch pickle"]

_LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors library itself refuses more."""


def weights_kind(path: str | os.PathLike[str]) -> Kind:
    """What the first bytes of a file of weights say; its suffix is never believed.

    Raises:
        ModelError: no regular file, empty, unreadable, or of no kind known here.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # found out without opening it, so that a pipe cannot hang
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ModelError(f"is {what}; expected a file of weights", path=path)
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise ModelError("there is no such file", path=path) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be opened: {getattr(error, 'strerror', None) or error}", path=path) from None
    if not head:
        raise ModelError("is empty (0 bytes); expected a file of weights", path=path)
    if head.startswith(b"PK\x03\x04"):
        return "torch zip"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch pickle"
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST_HEADER:
        return "safetensors"
    raise ModelError(f"is no file of weights: it begins with {head[:12]!r}", path=path)
