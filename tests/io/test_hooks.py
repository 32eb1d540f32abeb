"""The hooks that GDAL's undecodable messages would reach: wrapped while somebody reads, and no longer."""

from __future__ import annotations

import sys
import threading

from xmatch.io.rasters.gdal import gdal
from xmatch.io.rasters.options import ReadOptions


def test_two_threads_that_overlap_leave_the_hooks_as_they_were():
    """A enters, B enters, A leaves, B leaves: each restoring what it had found would leave A's wrapper in place."""
    before = sys.excepthook, sys.unraisablehook
    entered, left = threading.Event(), threading.Event()

    def second() -> None:
        with gdal(ReadOptions()):
            entered.set()
            assert left.wait(10)

    thread = threading.Thread(target=second)
    with gdal(ReadOptions()):
        thread.start()
        assert entered.wait(10)
        assert sys.excepthook is not before[0]
    assert sys.excepthook is not before[0], "the other thread is still inside"
    left.set()
    thread.join(10)
    assert (sys.excepthook, sys.unraisablehook) == before


def test_a_hook_set_by_somebody_else_meanwhile_stays(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with gdal(ReadOptions()):
        sys.excepthook = print
    assert sys.excepthook is print


def test_only_undecodable_messages_of_a_thread_inside_are_passed_over(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, value, trace: seen.append((kind, threading.current_thread())))
    undecodable = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "made up")

    def call(kind: type[Exception], error: Exception) -> None:
        sys.excepthook(kind, error, None)

    with gdal(ReadOptions()):
        call(UnicodeDecodeError, undecodable)
        call(KeyError, KeyError("a"))
        other = threading.Thread(target=call, args=(UnicodeDecodeError, undecodable))
        other.start()
        other.join()
    assert [kind for kind, _ in seen] == [KeyError, UnicodeDecodeError] and seen[1][1] is other
