"""Where networks run: the names that every command and recipe takes, checked against what this machine has."""

from __future__ import annotations

import re

from xmatch.errors import UsageError


def checked(name: str) -> str:
    """The name itself, "auto" included, once it is known that such a device is there. "auto" and "cpu" load no torch.

    Raises:
        UsageError: no such name, or a CUDA device that this machine lacks.
    """
    if name != "auto":
        resolved(name)
    return name


def resolved(name: str) -> str:
    """The device that "auto" stands for, "cuda" where there is one; any other name as it is.

    Raises:
        UsageError: not "auto", "cpu", "cuda" or "cuda:N", or a CUDA device that this machine lacks.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UsageError(f"device {name!r} is not known", hint="--device auto, cpu, cuda or cuda:N")
    if name == "cpu":
        return name
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if found else "cpu"
    if int(name.partition(":")[2] or 0) >= found:
        raise UsageError(f"device {name!r}: {found} CUDA devices found", hint="--device cpu")
    return name
