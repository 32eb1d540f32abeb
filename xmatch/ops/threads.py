"""How many threads OpenCV and torch compute on, for a while.

Both keep that number for the whole process, which belongs to whoever calls: it is given back afterwards, by the last
one out where several threads of a program have changed it at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


def sleep_while_waiting() -> None:
    """Have threads of OpenMP sleep while they wait for each other, unless the user says otherwise; before torch and
    others that use it are imported.

    They spin by default. On two cores of which one is busy, two threads that spin took ten times the processor time of
    one, and of two that sleep (docs/lab-log.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def sum_on_one_thread() -> None:
    """Have numpy's and scipy's BLAS compute on one thread, unless the user says otherwise; before they are imported.

    Sums that threads share are rounded otherwise: maps differed by 1e-8 px, and rasters by a grey value here and there,
    between a registration in this process and one in a worker that has a core to itself.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class _ProcessWide:
    """A number that any thread may change for a while."""

    def __init__(self, read: Callable[[], int], write: Callable[[int], None]) -> None:
        self._read, self._write = read, write
        self._lock, self._inside, self._before = Lock(), 0, 0

    @contextmanager
    def set_to(self, count: int) -> Iterator[None]:
        with self._lock:
            before = self._read()
            if self._inside == 0:
                self._before = before
            self._inside += 1
            self._write(count)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                # The last one out may have read what another one had set.
                self._write(before if self._inside else self._before)


def _opencv() -> int:
    import cv2

    return cv2.getNumThreads()


def _set_opencv(count: int) -> None:
    import cv2

    cv2.setNumThreads(count)


def _torch() -> int:
    import torch

    return torch.get_num_threads()


def _set_torch(count: int) -> None:
    import torch

    torch.set_num_threads(count)


_OPENCV = _ProcessWide(_opencv, _set_opencv)
_TORCH = _ProcessWide(_torch, _set_torch)


@contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """OpenCV computes on `count` threads inside the block."""
    with _OPENCV.set_to(max(1, count)):
        yield


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch computes on `count` threads inside the block; in other threads of the process it may, too."""
    with _TORCH.set_to(max(1, count)):
        yield
