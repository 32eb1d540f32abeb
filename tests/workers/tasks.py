"""What workers of the tests do; a module of its own, since a process that is spawned imports it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def threads_here(_: object) -> str:
    return os.environ["OMP_NUM_THREADS"]


def die_of_three(number: int) -> int:
    """As the kernel does to a process that wants too much memory."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def die_once(path: str) -> str:
    """Of each path: the process that comes first leaves a file there and dies."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def is_stopped_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    return path


def hold(path: str) -> None:
    """A file that is there while the work goes on."""
    Path(path).touch()
    try:
        time.sleep(60)
    finally:
        Path(path).unlink()


def hold_if_named(path: str) -> str:
    if path:
        hold(path)
    return path


def never_comes_back(_: object) -> None:
    """As native code that waits for a file system: nothing of Python's is heard."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    time.sleep(60)


def hold_or_see(item: tuple[str, str]) -> bool | None:
    """Hold a file, or wait until another worker does."""
    role, path = item
    return hold(path) if role == "hold" else comes_to(Path(path), True)


def comes_to(path: Path, there: bool) -> bool:
    """Whether a file comes to be there, or to be gone, within some seconds."""
    for _ in range(1000):
        if path.exists() == there:
            return True
        time.sleep(0.02)
    return False
