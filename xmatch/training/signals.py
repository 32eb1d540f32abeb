"""Signals that ask a run to stop: it saves first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from xmatch.errors import ExitCode


@dataclass
class StopRequest:
    """Set once a signal has come."""

    exit_code: ExitCode | None = None
    """What the run ends with: 130 after SIGINT, 143 after SIGTERM or SIGHUP; None: go on."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first signal is noted, the second ends the process at once. What was set before comes back at the end."""
    request = StopRequest()

    def note(number: int, frame: object) -> None:
        request.exit_code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        signal.signal(number, signal.SIG_DFL)

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup keeps its immunity
            with contextlib.suppress(ValueError):  # not in the main thread
                before[number] = signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
