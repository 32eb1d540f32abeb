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
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from fuzz_children import Job, watch
from fuzz_mutations import mutant

MAX_MEMORY_MIB, ALLOWANCE_MIB = 500, 300
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
        one, written = ["--threads", "1"], ["--overwrite", "-o", "o.tif"]
        lines = [
            ["register", *pair, *QUICK, *BOUND, *WRITE, *geo, *damaged],
            ["register", *pair, *QUICK, *BOUND, *WRITE, *FURTHER, *geo],
            ["register", *pair, *QUICK, *BOUND, *written, "--keep-unreliable", *geo],
            ["register", *pair, *BOUND, "-o", "p.tif", "--dry-run", *geo],
            ["match", *pair, *QUICK, *BOUND, *geo, "--overwrite", "-o", "m.csv"],
            ["apply", "similarity.report.json", name, *BOUND, *one, *written, *damaged],
            ["apply", "tps.report.json", "moving.tif", "--fixed", name, *BOUND, *one, *written],
        ]
        return [*rng.choice(lines), "--json"]
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


def make_job(number: int, kinds: dict[str, list[Path]], seed: int) -> Job:
    """The mutant of that number and the command that reads it."""
    rng = Random(f"{seed}/{number}")
    kind = rng.choices(list(SHARES), SHARES.values())[0]
    file = rng.choice(kinds[kind])
    data, how = mutant(file, rng)
    name = f"x{number}{''.join(file.suffixes[-2:] if '.ome' in file.suffixes else file.suffixes[-1:])}"
    return Job(number, kind, file, how, name, data, commands(kind, name, rng))


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
                if run(app, commands(kind, name, rng)) == 130:
                    raise KeyboardInterrupt  # an import that was cut short would fail in every fork
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
    # A shell starts its background jobs with Ctrl-C ignored, and children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
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


def fuzz(kinds: dict[str, list[Path]], folder: Path, args: argparse.Namespace) -> dict:
    codes: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    to_mend, peak, slowest, begin = [], 0.0, 0.0, time.perf_counter()
    (folder / "run").mkdir()
    os.chdir(folder / "run")
    numbers = args.only or range(args.start, args.start + args.count)
    jobs = [make_job(number, kinds, args.seed) for number in numbers]
    with contextlib.suppress(KeyboardInterrupt):  # what was found by then is told
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
