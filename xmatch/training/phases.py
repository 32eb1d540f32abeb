"""Where the time of a step goes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

PHASES = ("synthesis", "forward", "backward", "optimiser")


class Phases:
    """Seconds by phase, summed over the steps that are timed.

    A GPU works behind the program's back, so that a phase can only be timed by waiting for its end. That costs the
    overlap of the phases; there, the last step before a report is timed and the others are not.

    Args:
        device: where the work is done.
        clock: seconds.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self._device = device
        self._clock = clock
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._timed = False
        self._last = 0.0

    def begin(self, reported: bool) -> None:
        """A step begins; `reported`: a report follows it."""
        self._timed = reported or self._device.type == "cpu"
        if self._timed:
            self._last = self._now()

    def end(self, phase: str) -> None:
        """A phase ends; it began where the one before it ended."""
        if self._timed:
            now = self._now()
            self._seconds[phase] += now - self._last
            self._last = now

    def shares(self) -> dict[str, float]:
        """Share of each phase since the last call, adding up to 1."""
        total = sum(self._seconds.values()) or 1.0
        found = {f"{name}_share": round(value / total, 4) for name, value in self._seconds.items()}
        self._seconds = dict.fromkeys(PHASES, 0.0)
        return found

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return self._clock()
