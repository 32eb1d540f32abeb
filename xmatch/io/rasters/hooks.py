"""A fault of rasterio's log of GDAL's messages, kept off stderr.

Where damage puts bytes into a message that are not UTF-8, the callback that logs it cannot decode it, and has nobody to
raise to: CPython then calls `sys.excepthook` and `sys.unraisablehook`, which print a traceback each. Nothing in
rasterio or GDAL turns that off, so the hooks are wrapped, for as long as any thread is inside GDAL.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType


class MendedHooks:
    """A context: both hooks pass over the UnicodeDecodeError of a thread that is inside; all else goes to the hooks
    that were there before. May be entered from several threads, and again inside itself: the first to enter wraps the
    hooks, the last to leave puts them back, unless somebody has replaced them since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: dict[int, int] = {}
        """Thread -> how often it has entered."""
        self._excepthook, self._unraisablehook = sys.excepthook, sys.unraisablehook
        # Bound once: each access of a method makes another object, and `is` shall tell.
        self._own = self._on_exception, self._on_unraisable

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._lock:
            if not self._inside:
                self._excepthook, self._unraisablehook = sys.excepthook, sys.unraisablehook
                sys.excepthook, sys.unraisablehook = self._own
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def __exit__(self, *raised: object) -> None:
        thread = threading.get_ident()
        with self._lock:
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
            if self._inside:
                return
            if sys.excepthook is self._own[0]:
                sys.excepthook = self._excepthook
            if sys.unraisablehook is self._own[1]:
                sys.unraisablehook = self._unraisablehook

    def _on_exception(self, kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        if not self._of_the_log(kind):
            self._excepthook(kind, value, trace)

    def _on_unraisable(self, event: sys.UnraisableHookArgs) -> None:
        if not self._of_the_log(event.exc_type):
            self._unraisablehook(event)

    def _of_the_log(self, kind: type[BaseException]) -> bool:
        return kind is UnicodeDecodeError and threading.get_ident() in self._inside


MENDED_HOOKS = MendedHooks()
"""The one for this process, whose hooks they are."""
