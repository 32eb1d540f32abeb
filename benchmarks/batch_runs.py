"""Batches of small pairs: what a second process is worth, and whether runs that are killed lose or repeat anything.

    python benchmarks/batch_runs.py speed --pairs 60     one process and two, side by side in turn
    python benchmarks/batch_runs.py kill --times 20      kill -9 at random moments, and the same line again

Pairs are cuts of 192 px from one procedural texture, each with its own shift, found by `sift`. Both print JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import tifffile

SIDE = 192
LINE = ["register", "--pairs", "pairs.csv", "-o", "out", "--matcher", "sift", "--transform", "similarity"]


def make_pairs(folder: Path, count: int) -> list[str]:
    """pairs.csv and its images; returns the names of the rasters to come."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1024, 1024))
    texture = sum(cv2.GaussianBlur(noise, None, sigma) * sigma for sigma in (1, 2, 4))
    texture = (texture * 3000 + 20000).clip(0, 65535).astype(np.uint16)
    rows = []
    for k in range(count):
        x, y = rng.integers(0, 1024 - SIDE - 30, 2)
        dx, dy = rng.integers(2, 28, 2)
        names = f"fixed{k:04d}.tif", f"moving{k:04d}.tif"
        for name, (left, top) in zip(names, ((x, y), (x + dx, y + dy)), strict=True):
            tifffile.imwrite(folder / name, texture[top : top + SIDE, left : left + SIDE])
        rows.append(",".join(names))
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    return [f"moving{k:04d}.registered.tif" for k in range(count)]


def start(folder: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "xmatch.cli", *LINE, *more]
    with open(folder / "lines.jsonl", "ab") as lines, open(folder / "talk.txt", "ab") as talk:
        return subprocess.Popen(command, cwd=folder, stdout=lines, stderr=talk, start_new_session=True)


def timed(folder: Path, jobs: int) -> dict[str, float]:
    """Wall and processor seconds of one whole batch, into a folder of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    code = start(folder, "-o", f"jobs{jobs}", "--jobs", str(jobs), "--threads", "1").wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"jobs": jobs, "exit_code": code, "wall_s": round(time.monotonic() - began, 1), "cpu_s": round(used, 1)}


def speed(folder: Path, count: int) -> dict:
    names = make_pairs(folder, count)
    load_before = os.getloadavg()
    runs = [timed(folder, jobs) for jobs in (1, 2)]
    same = sum((folder / "jobs1" / n).read_bytes() == (folder / "jobs2" / n).read_bytes() for n in names)
    load = {"before": load_before, "after": os.getloadavg()}
    one, two = runs
    ratio = {"wall": round(one["wall_s"] / two["wall_s"], 2), "cpu": round(2 * one["cpu_s"] / two["cpu_s"], 2)}
    return {"pairs": count, "runs": runs, "same_bytes": same, "load": load, "one_by_two": ratio}


def kill(folder: Path, count: int, times: int, jobs: int, seed: int) -> dict:
    """Kill whole runs, workers left to themselves, until `times` have been; then let one end."""
    names = make_pairs(folder, count)
    out, rng, kills, made = folder / "out", random.Random(seed), 0, {}
    broken: list[str] = []
    while kills < times:
        process = start(folder, "--jobs", str(jobs))
        done = len(list(out.glob("*.registered.tif"))) if out.exists() else 0
        until = time.monotonic() + 300  # until something new is there, and a random moment more
        while process.poll() is None and time.monotonic() < until:
            if out.exists() and len(list(out.glob("*.registered.tif"))) > done:
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 2.0))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        for name in names:
            path = out / name
            if path.exists():
                stamp = path.stat().st_mtime_ns, path.stat().st_ino
                if made.setdefault(name, stamp) != stamp:
                    broken.append(f"{name} was made twice")
                if tifffile.imread(path).shape != (SIDE, SIDE):
                    broken.append(f"{name} is not whole")
    (folder / "lines.jsonl").unlink()
    code = start(folder, "--jobs", str(jobs)).wait()
    last = [json.loads(line) for line in (folder / "lines.jsonl").read_text().splitlines()]
    repeated = [name for name, stamp in made.items() if (out / name).stat().st_mtime_ns != stamp[0]]
    return {
        "pairs": count,
        "jobs": jobs,
        "kills": kills,
        "done_before_the_last_run": len(made),
        "last_exit_code": code,
        "last": {"skipped": sum(line["skipped"] for line in last if line["ok"]), "ok": sum(x["ok"] for x in last)},
        "failed": [line["error"]["message"] for line in last if "error" in line],
        "missing": [name for name in names if not (out / name).exists()],
        "made_twice": repeated + broken,
        "temporary_files_left": sorted(path.name for path in out.glob(".*")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "kill"])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="of the runs that are killed")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        told = (
            speed(path, args.pairs)
            if args.what == "speed"
            else kill(path, args.pairs, args.times, args.jobs, args.seed)
        )
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
