"""Where networks and searches run: the names that every command takes, checked against what this machine has."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from xmatch.errors import UsageError

TORCH_ON_CPU = "cpu:0"
"""The CPU, by torch: what a GPU does, for tests and rehearsals of it. "cpu" is numpy and OpenCV, which are quicker."""


def checked(name: str) -> str:
    """The name itself, "auto" included, once it is known that such a device is there. "auto" and "cpu" load no torch.

    Raises:
        UsageError: no such name, or a CUDA device that this machine lacks.
    """
    if name != "auto":
        resolved(name)
    return name


def resolved_with_driver(name: str) -> str:
    """As `resolved`, for work that is done without torch where there is no GPU: "auto" is "cpu" at once, and loads no
    torch, on a machine without a GPU's driver."""
    return "cpu" if name == "auto" and not _has_driver() else resolved(name)


def _has_driver() -> bool:
    """Whether a driver of NVIDIA's or AMD's, or Windows's own way to them, shows itself."""
    return sys.platform == "win32" or any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def resolved(name: str) -> str:
    """The device that "auto" stands for, "cuda" where there is one; any other name as it is.

    Raises:
        UsageError: not "auto", "cpu", "cuda" or "cuda:N", or a CUDA device that this machine lacks.
    """
    if not re.fullmatch(r"auto|cpu(:0)?|cuda(:\d+)?", name):
        raise UsageError(f"device {name!r} is not known", hint="--device auto, cpu, cuda or cuda:N")
    if name in ("cpu", TORCH_ON_CPU):
        return name
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if found else "cpu"
    if int(name.partition(":")[2] or 0) >= found:
        raise UsageError(f"device {name!r}: {found} CUDA devices found", hint="--device cpu")
    return name
