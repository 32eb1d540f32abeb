"""One peer on one pair in a process of its own, so that whatever it does there ends as a `PeerResult` with its reason.

`xmatch.workers` keeps processes from pair to pair, which xmatch can be trusted with. Here each call has a
new one, at the head of its own process group: a time-out must end the programs that a peer has started too, and a peak
of memory must not be that of the pair before.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from xmatch.errors import XmatchError
from xmatch.evaluation.peers.base import Peer, PeerResult, PeerSettings, Prepares
from xmatch.workers.processes import THREAD_VARIABLES

TIMEOUT_S = 300.0
"""Not tuned."""
POLL_S = 0.02
"""Between two looks at the peak of its memory; short beside any pair."""
TAIL = 300
"""Characters of a failed program's log that its reason repeats."""
START = f"import json, sys; sys.path = json.loads(sys.argv.pop(1)); from {__name__} import main; main(*sys.argv[1:])"
"""What the process of its own is told."""


@dataclass(frozen=True)
class PeerRun:
    """What a peer said, and what that cost."""

    found: PeerResult
    seconds: float
    """Wall time of the peer itself, without the start of its process and, if it has such, its `prepare()`; with them,
    when it did not live to tell."""
    peak_memory_mib: float | None
    """Of resident memory: the peer's process or the largest program it ran, whichever is more. None where the system
    does not say (only Linux does for a process that died)."""


def isolated(peer: Peer, fixed: Path, moving: Path, settings: PeerSettings, *, timeout_s: float = TIMEOUT_S) -> PeerRun:
    """`peer(fixed, moving, settings)` in a process of its own.

    Crashes, exceptions, answers that are none and time-outs are `PeerResult`s without a transform.

    Args:
        peer: picklable; a fresh interpreter must be able to import its class.
        timeout_s: wall time, with the start of the process; then its whole process group is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        order, answer, log = (Path(folder) / name for name in ("order.pickle", "answer.pickle", "log.txt"))
        order.write_bytes(pickle.dumps((peer, Path(fixed), Path(moving), settings)))
        threads = dict.fromkeys(THREAD_VARIABLES, str(settings.threads))
        # What a peer needs to be found by its name is found where this process would find it. Not by PYTHONPATH, which
        # the Pythons of other environments that a peer runs would heed as well.
        places = json.dumps([path or os.getcwd() for path in sys.path])
        start = time.perf_counter()
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", START, places, os.fspath(order), os.fspath(answer)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **threads},
                start_new_session=True,
            )
        try:
            in_time, peak_mib = _watched(process, start + timeout_s)
        finally:
            # Before it is waited for: until then its number, which is the group's, cannot be given to another.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = time.perf_counter() - start
        if not in_time:
            return PeerRun(PeerResult(None, f"It was stopped after {timeout_s:g} s.", failed=True), seconds, peak_mib)
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, TypeError):
            run = pickle.loads(answer.read_bytes())
            if isinstance(run, PeerRun):
                return run
        code = process.returncode
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        reason = f"Its process {ended} before it answered: {tail(log)}"
        return PeerRun(PeerResult(None, reason, failed=True), seconds, peak_mib)


def _watched(process: subprocess.Popen, deadline: float) -> tuple[bool, float | None]:
    """Whether the process ended before the deadline (it is left unwaited-for), and the peak of its own memory, MiB."""
    peak_mib = None
    while True:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if ended or time.perf_counter() > deadline:
            return ended, peak_mib
        now = _peak_mib(process.pid)
        peak_mib = now if now is not None else peak_mib
        time.sleep(POLL_S)


def _peak_mib(pid: int | str) -> float | None:
    # Not ru_maxrss: a new program's begins with what its parent held when it was started.
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return None


def tail(log: Path) -> str:
    """The end of what a program said, as one line."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * TAIL))
        words = file.read().decode(errors="replace").split()
    return " ".join(words)[-TAIL:] or "it said nothing."


def _run(peer: Peer, fixed: Path, moving: Path, settings: PeerSettings) -> PeerRun:
    """In the process of its own."""
    start = time.perf_counter()
    try:
        if isinstance(peer, Prepares):
            peer.prepare()
            start = time.perf_counter()
        answer: object = peer(fixed, moving, settings)  # a plug-in may break its promise
        found = answer if isinstance(answer, PeerResult) else None
        if found is None:
            found = PeerResult(None, f"It answered with {type(answer).__name__} instead of PeerResult.", failed=True)
    except XmatchError as error:
        found = PeerResult(None, str(error), failed=True)
    except MemoryError:
        found = PeerResult(None, "It ran out of memory.", failed=True)
    except Exception as error:
        found = PeerResult(None, f"It failed: {type(error).__name__}: {error}", failed=True)
    seconds = time.perf_counter() - start
    own = _peak_mib("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Of the largest program that it has run and waited for.
    programs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return PeerRun(found, seconds, max(own, programs))


def main(order: str, answer: str) -> None:
    run = _run(*pickle.loads(Path(order).read_bytes()))
    unfinished = Path(f"{answer}.unfinished")
    unfinished.write_bytes(pickle.dumps(run))
    unfinished.replace(answer)
