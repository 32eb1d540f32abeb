"""Damaged files by the thousand: no command may end in an internal fault, hang, or take more memory than it was given.

    python benchmarks/fuzz.py --count 10000 -o fuzz.json

A few dozen small files of all kinds that xmatch reads (`fuzz_seeds.py`) are damaged (`fuzz_mutations.py`) and handed to
the commands that read them. The process loads everything once and forks for each mutant, so that a crash of a library,
a hang or a rush for memory ends a child and has a name: `--only NUMBER` runs one mutant again and keeps its file. The
same seed makes the same mutants. Exit code 1 when there is anything to mend.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzz_mutations import mutant

MAX_MEMORY_MIB, ALLOWANCE_MIB = 500, 300
HANG_S = 20.0
"""Time on the processor after which a command counts as hung."""
A_CHILD = 60
"""Mutants that one child serves."""
STOP_S = 5.0
"""Time to end after a Ctrl-C."""
LIMIT_BYTES = 6 << 30
"""Address space of a child: what wants more is refused by the system before it troubles the machine."""
SHARES = {"image": 58, "report": 10, "transform": 8, "points": 8, "pairs": 6, "manifest": 4, "recipe": 4, "weights": 2}
"""Percent of the mutants."""
QUICK = ["--threads", "1", "--matcher", "sift", "--max-angle", "4", "--max-scale", "1.01"]
BOUND = ["--max-memory", f"{MAX_MEMORY_MIB}M"]
WRITE = ["--overwrite", "--no-report", "-o", "o.tif"]
FURTHER = ["--points", "o.csv", "--tfm", "o.tfm", "--displacement", "o.d.tif", "--gcps", "o.g.tif", "--keep-unreliable"]


def commands(kind: str, name: str, rng: Random) -> list[str]:
    """A command line that reads the mutant `name`; "read:..." names a reader that only `adapt` and `eval` reach."""
    if kind == "image":
        pair = ["fixed.tif", name] if rng.random() < 0.6 else [name, "fixed.tif"]
        geo = ["--ignore-georef"] if rng.random() < 0.4 else []
        damaged = ["--allow-damaged"] if rng.random() < 0.2 else []
        return rng.choice([
            ["register", *pair, *QUICK, *BOUND, *WRITE, *geo, *damaged, "--json"],
            ["register", *pair, *QUICK, *BOUND, *WRITE, *FURTHER, *geo, "--json"],
            ["register", *pair, *QUICK, *BOUND, "--overwrite", "--keep-unreliable", "-o", "o.tif", *geo, "--json"],
            ["register", *pair, *BOUND, "-o", "p.tif", "--dry-run", *geo, "--json"],
            ["match", *pair, *QUICK, *BOUND, *geo, "--json", "--overwrite", "-o", "m.csv"],
            ["apply", "similarity.report.json", name, *BOUND, "--overwrite", "-o", "o.tif", "--threads", "1", *damaged, "--json"],
            ["apply", "tps.report.json", "moving.tif", "--fixed", name, *BOUND, "--threads", "1", "--overwrite", "-o", "o.tif", "--json"],
        ])  # fmt: skip
    if kind in ("report", "transform"):
        fixed = ["--fixed", "fixed.tif"] if kind == "transform" or rng.random() < 0.3 else []
        return ["apply", name, "moving.tif", *fixed, *BOUND, "--threads", "1", "--overwrite", "-o", "o.tif", "--json"]
    if kind == "pairs":
        return ["register", "--pairs", name, "-o", ".", *BOUND, "--dry-run", "--keep-going", "--overwrite"]
    if kind == "recipe":
        return ["register", "fixed.tif", "moving.tif", "--recipe", name, "-o", "p.tif", "--dry-run", "--json"]
    if kind == "weights":
        return ["models", "info", name, "--json"]
    return [f"read:{kind}", name]


def run_command(args: list[str]) -> int:
    from xmatch.cli import app
    from xmatch.cli.runtime import run
    from xmatch.errors import XmatchError

    if not args[0].startswith("read:"):
        return run(app, args)
    try:
        if args[0] == "read:points":
            from xmatch.io.points_reading import read_tie_points

            read_tie_points(args[1], (48, 48), (48, 48))
        else:
            from xmatch.evaluation.datasets.manifest import read_rows

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

    @staticmethod
    def of(number: int, kinds: dict[str, list[Path]], seed: int) -> Job:
        rng = Random(f"{seed}/{number}")
        kind = rng.choices(list(SHARES), SHARES.values())[0]
        file = rng.choice(kinds[kind])
        data, how = mutant(file, rng)
        name = f"x{number}{''.join(file.suffixes[-2:] if '.ome' in file.suffixes else file.suffixes[-1:])}"
        return Job(number, kind, file, how, name, data, commands(kind, name, rng))


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
        yield from _told(child, reader, batch, waiting)
        os.close(reader)
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


def warm_up(folder: Path) -> None:
    """Load what the commands load, by running them once on the seeds in `folder`, so that forks need not."""
    import cv2

    from xmatch.cli import app
    from xmatch.cli.runtime import run

    cv2.setNumThreads(1)
    os.chdir(folder)
    rng = Random(0)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for kind, name in (
            ("image", "overviews.tif"),
            ("image", "pyramid.ome.tif"),
            ("report", "grid.report.json"),
            ("transform", "tps.tfm.tfm"),
            ("pairs", "comma.csv"),
            ("recipe", "recipe.yaml"),
            ("weights", "w.safetensors"),
        ):
            for _ in range(15 if kind == "image" else 1):
                run(app, commands(kind, name, rng))
    gc.freeze()  # a collection in a fork would touch, and so copy, all memory of this process
    if len(os.listdir("/proc/self/task")) > 1:
        raise SystemExit("a library has left threads behind, which forks would lack")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of mutants to run again")
    parser.add_argument("--keep", type=Path, help="folder for the files of mutants with something to mend")
    parser.add_argument("-o", "--output", type=Path, help="JSON of the result")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # Making them in a process of its own keeps what that loads out of this one.
        command = [sys.executable, str(Path(__file__).with_name("fuzz_seeds.py")), str(folder / "seeds")]
        made = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        kinds = {kind: [folder / "seeds" / name for name in names] for kind, names in json.loads(made.stdout).items()}
        warm_up(folder / "seeds")
        result = fuzz(kinds, folder, args)
        os.chdir("/")
    text = json.dumps(result, indent=1)
    if args.output:
        args.output.write_text(text + "\n")
    print(text)
    return int(bool(result["to_mend"]))


def tidy(place: Path, seeds: Path) -> None:
    """The seeds, and nothing else, in the folder where the commands run. Commands replace files; they change none."""
    wanted, there = set(os.listdir(seeds)), set(os.listdir(place))
    for name in there - wanted:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in wanted - there:
        os.link(seeds / name, place / name)


def fuzz(kinds: dict[str, list[Path]], folder: Path, args: argparse.Namespace) -> dict:
    codes: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    to_mend, peak, slowest, begin = [], 0.0, 0.0, time.perf_counter()
    (folder / "run").mkdir()
    os.chdir(folder / "run")
    numbers = args.only or range(args.start, args.start + args.count)
    jobs = [Job.of(number, kinds, args.seed) for number in numbers]
    for job, told in watch(jobs, folder):
        codes[str(told["code"])] += 1
        by_kind[job.kind] += 1
        peak, slowest = max(peak, told["mib"]), max(slowest, told["busy"])
        faults = [told["hung"]] if told["hung"] else []
        if told["code"] in (1, 99, "died") and not told["hung"]:
            faults.append("internal" if told["code"] == 1 else "died")
        if told["mib"] > MAX_MEMORY_MIB + ALLOWANCE_MIB:
            faults.append(f"{told['mib']:.0f} MiB")
        if not told["one_document"] and not told["hung"]:
            faults.append("stdout")
        if faults:
            row = {"number": job.number, "faults": faults, "of": job.seed.name, "how": job.how}
            to_mend.append({**row, "command": " ".join(job.args), "said": told["said"]})
            print(json.dumps(to_mend[-1]), file=sys.stderr, flush=True)
        if args.keep and (args.only or faults):
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / job.name).write_bytes(job.data)
        if args.only:
            print(" ".join(job.args), json.dumps(told), file=sys.stderr, sep="\n  ")
    return {
        "schema": "xmatch.fuzz/1",
        "command": " ".join(sys.argv),
        "seed": args.seed,
        "mutants": sum(codes.values()),
        "by_kind": dict(by_kind),
        "exit_codes": dict(sorted(codes.items())),
        "internal": sum("internal" in row["faults"] for row in to_mend),
        "died": sum("died" in row["faults"] for row in to_mend),
        "hangs": sum(any("hang" in fault for fault in row["faults"]) for row in to_mend),
        "other_than_one_document": sum("stdout" in row["faults"] for row in to_mend),
        "peak_mib": round(peak),
        "limit_mib": MAX_MEMORY_MIB + ALLOWANCE_MIB,
        "slowest_s": round(slowest, 1),
        "minutes": round((time.perf_counter() - begin) / 60, 1),
        "to_mend": to_mend,
    }


if __name__ == "__main__":
    sys.exit(main())
