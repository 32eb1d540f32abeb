"""Processes that run commands on mutants: forked, watched, and replaced when they hang, die or have served enough."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HANG_S = 20.0
"""Time on the processor after which a command counts as hung."""
A_CHILD = 60
"""Mutants that one child serves."""
STOP_S = 5.0
"""Time to end after a Ctrl-C."""
LIMIT_BYTES = 6 << 30
"""Address space of a child: what wants more is refused by the system before it troubles the machine."""


def run_command(args: list[str]) -> int:
    from xmatch.cli import app
    from xmatch.cli.runtime import run
    from xmatch.errors import XmatchError

    if not args[0].startswith("read:"):
        return run(app, args)
    try:
        if args[0] == "read:points":
            from xmatch.io.points.reading import read_tie_points

            read_tie_points(args[1], (48, 48), (48, 48))
        else:
            from xmatch.datasets.manifest import read_rows

            read_rows(Path(args[1]))
    except XmatchError as error:
        return int(error.exit_code)
    return 0


@dataclass(frozen=True)
class Job:
    """One mutant and the command that reads it."""

    number: int
    kind: str
    seed: Path
    how: str
    name: str
    data: bytes
    args: list[str]


def serve(jobs: list[Job], folder: Path, report: int) -> None:
    """Work through jobs in this process, a line on the descriptor `report` before and after each; never returns."""
    own_err = None
    try:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 31, 1 << 31))
        own_err = os.dup(2)
        for job in jobs:
            tidy(Path("."), folder / "seeds")
            Path(job.name).write_bytes(job.data)
            with open(folder / "out", "w") as out, open(folder / "err", "w") as err:
                # As the console script has it: descriptor 1 leads to stderr, documents go to a copy of stdout.
                os.dup2(err.fileno(), 1), os.dup2(err.fileno(), 2)
                sys.stdout = out
                Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
                begin, busy = time.perf_counter(), time.process_time()
                os.write(report, json.dumps({"begin": job.number}).encode() + b"\n")
                try:
                    code = run_command(job.args)
                except SystemExit as stop:
                    code = int(stop.code or 0)
                except BaseException:
                    traceback.print_exc()
                    code = 1
                seconds, busy = time.perf_counter() - begin, time.process_time() - busy
                peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
                sys.stderr.flush()
            told = {"number": job.number, "code": int(code), "seconds": seconds, "busy": busy, "mib": peak}
            told["said"] = "".join((folder / "err").read_text(errors="replace").strip().splitlines()[-1:])[:300]
            told["one_document"] = is_one_document((folder / "out").read_text(errors="replace"), job.args)
            os.write(report, json.dumps(told).encode() + b"\n")
        os._exit(0)
    except BaseException:
        if own_err is not None:
            os.dup2(own_err, 2)
        traceback.print_exc()
        os._exit(99)


def watch(jobs: list[Job], folder: Path) -> Iterator[tuple[Job, dict]]:
    """Every job with what became of it, from children that are replaced when they hang, die or have served enough."""
    waiting = list(jobs)
    while waiting:
        batch = waiting[:A_CHILD]
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            serve(batch, folder, writer)
        os.close(writer)
        try:
            yield from _told(child, reader, batch, waiting)
        finally:
            os.close(reader)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # it has ended, or is not wanted any more
            os.waitpid(child, 0)


def _told(child: int, reader: int, batch: list[Job], waiting: list[Job]) -> Iterator[tuple[Job, dict]]:
    """What a child tells; takes each job from `waiting` as it ends. A hang is measured in time on the processor, since
    a machine with much else to do makes anything last."""
    rest, current, busy_at, began, asked = b"", batch[0], 0.0, time.perf_counter(), None
    while True:
        ready, _, _ = select.select([reader], [], [], 0.1)
        data = os.read(reader, 65536) if ready else None
        if data == b"":
            if waiting and waiting[0] is current and current in batch:
                status = {"code": "died", "seconds": time.perf_counter() - began, "busy": 0.0, "mib": 0.0, "said": ""}
                yield current, {**status, "hung": asked, "one_document": True}
                waiting.pop(0)
            return
        *lines, rest = (rest + (data or b"")).split(b"\n")
        for told in map(json.loads, lines):
            if "begin" in told:
                current = next(job for job in batch if job.number == told["begin"])
                busy_at, began, asked = _busy(child), time.perf_counter(), None
            else:
                yield current, {**told, "hung": asked}
                waiting.pop(0)
                current = waiting[0] if waiting else current
        busy, elapsed = _busy(child) - busy_at, time.perf_counter() - began
        if asked is None and (busy > HANG_S or elapsed > 15 * HANG_S):
            asked = "hang"
            os.kill(child, signal.SIGINT)
            asked_at = busy, elapsed
        elif asked == "hang" and (busy - asked_at[0] > STOP_S or elapsed - asked_at[1] > 15 * STOP_S):
            asked = "hang that ignores Ctrl-C"
            os.kill(child, signal.SIGKILL)


def _busy(child: int) -> float:
    """Seconds on the processor so far."""
    try:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_one_document(text: str, args: list[str]) -> bool:
    """Whether stdout holds what was promised: a document, or one a line with --pairs."""
    if args[0].startswith("read:"):
        return True
    try:
        lines = text.splitlines()
        if "--json" in args:
            return len(lines) == 1 and isinstance(json.loads(lines[0], parse_constant=int), dict)
        return all(isinstance(json.loads(line, parse_constant=int), dict) for line in lines)
    except ValueError:
        return False


def tidy(place: Path, seeds: Path) -> None:
    """The seeds, and nothing else, in the folder where the commands run. Commands replace files; they change none."""
    wanted, there = set(os.listdir(seeds)), set(os.listdir(place))
    for name in there - wanted:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in wanted - there:
        os.link(seeds / name, place / name)
