"""Plant faults in a copy of the package, one at a time, and say which of them no test notices.

    python benchmarks/mutants.py                  all of tests/mutants.toml; goes on where it was stopped
    python benchmarks/mutants.py --only softmax   those whose name holds a word

A fault is a snippet of the package and what stands in its place. Only the tests that the table lists for it are run,
the first failure ends them. What is found is written to benchmarks/mutants.json: killed (a test failed, or did not come
to an end), survived, or equivalent (survived, and the table says why nobody could notice). A snippet that is no longer
there exactly once is stale, and an error; tests/test_mutants.py keeps the table from getting there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TABLE = ROOT / "tests" / "mutants.toml"
RESULTS = ROOT / "benchmarks" / "mutants.json"
SCHEMA = "xmatch.mutants/1"
COPIED = ("xmatch", "tests", "benchmarks", "docs", "recipes", "sample_data")
"""What tests look at, beside the files of the root."""
LOADED = tuple(
    "cv2 filelock hypothesis jinja2 jsonschema kornia numpy pyproj pytest rasterio rich "
    "safetensors scipy.fft scipy.ndimage scipy.optimize scipy.sparse scipy.spatial scipy.special scipy.stats SimpleITK "
    "tifffile torch typer yaml".split()
)
"""By one process, for the tests of all faults."""
SECONDS = 900.0
"""Longer than any of the lists of tests takes, on a busy machine too; a fault may well make a loop endless."""


@dataclass(frozen=True)
class Mutant:
    """A fault."""

    name: str
    """What it would break."""
    file: str
    """Where the snippet stands: a file of the package, or a folder of files that may be split or renamed."""
    find: str
    replace: str
    tests: tuple[str, ...]
    equivalent: str | None = None
    """Why nobody could notice."""


@dataclass(frozen=True)
class Found:
    """What became of a fault."""

    name: str
    outcome: str
    """killed, survived, equivalent, stale or broken (the package or the tests could not even be loaded)."""
    by: str | None
    """The test that failed, or "time"."""
    seconds: float


def load_table(path: Path = TABLE) -> list[Mutant]:
    """The faults, in the order of the file."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def places(mutant: Mutant, root: Path = ROOT) -> list[Path]:
    """The files that hold the snippet, each as often as it stands there: one of them, unless it is stale."""
    where = root / "xmatch" / mutant.file
    files = sorted(where.rglob("*.py")) if where.is_dir() else [where] if where.is_file() else []
    return [file for file in files for _ in range(file.read_text(encoding="utf-8").count(mutant.find))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="only faults whose name or file holds one of these words")
    parser.add_argument("--jobs", type=int, default=1, help="faults tried at a time")
    parser.add_argument(
        "--anew", action="store_true", help="also those that have been tried on the same code and tests"
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    mutants = load_table()
    chosen = [m for m in mutants if not options.only or any(word in f"{m.file} {m.name}" for word in options.only)]
    known = {} if options.anew else _earlier(options.output)
    digests = {mutant.name: _digest(mutant) for mutant in mutants}
    done = {name: found for name, (digest, found) in known.items() if digests.get(name) == digest}
    work = [mutant for mutant in chosen if mutant.name not in done]
    print(f"{len(chosen)} faults, {len(chosen) - len(work)} of them tried before", file=sys.stderr)
    begun = time.perf_counter()
    sound = {test for mutant in mutants if mutant.name in done for test in mutant.tests}
    for mutant, found in _tried(work, options.jobs, sound):
        done[mutant.name] = found
        print(f"{found.outcome:10} {found.seconds:6.1f} s  {mutant.file}: {mutant.name}", file=sys.stderr, flush=True)
        _write(options, mutants, digests, done, time.perf_counter() - begun)
    _write(options, mutants, digests, done, time.perf_counter() - begun)
    return _told(mutants, [done[mutant.name] for mutant in chosen])


def _tried(work: list[Mutant], jobs: int, sound: set[str]) -> Iterator[tuple[Mutant, Found]]:
    """Each fault with what became of it, as they end.

    Args:
        sound: tests that are known to pass where there is no fault.
    """
    if not work:
        return
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: Queue[Path] = Queue()
        for number in range(jobs):
            copies.put(_copy(Path(folder) / str(number)))
        failing = _failing_anyway(copies.queue[0], sorted({test for mutant in work for test in mutant.tests} - sound))
        if failing:
            raise SystemExit(f"without any fault there fails {failing}")
        finished: Queue[tuple[Mutant, Found]] = Queue()

        def run(mutant: Mutant) -> None:
            copy = copies.get()
            try:
                finished.put((mutant, _planted(mutant, copy)))
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(run, mutant) for mutant in work]
            for _ in work:
                yield finished.get()
            for future in futures:
                future.result()


def _copy(folder: Path) -> Path:
    """The project in a folder of its own."""
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy2(path, folder / path.name)
    # Compiled once: the runs leave nothing behind, since a fault may fit the time and the size of what it replaces.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "xmatch", "tests"], cwd=folder, check=False)
    return folder


def _failing_anyway(copy: Path, tests: list[str]) -> str | None:
    """The first test that fails without a fault; faults would pass for noticed by it."""
    if not tests:
        return None
    code, said, _ = _pytest(copy, tests, seconds=None)
    return None if code == 0 else _first_failure(said) or said[-2000:]


def _planted(mutant: Mutant, copy: Path) -> Found:
    where = places(mutant, copy)
    if len(where) != 1 or mutant.find == mutant.replace:
        return Found(mutant.name, "stale", None, 0.0)
    [path] = where
    text = path.read_text(encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
    try:
        path.write_text(text.replace(mutant.find, mutant.replace), encoding="utf-8")
        code, said, seconds = _pytest(copy, list(mutant.tests), SECONDS)
    finally:
        path.write_text(text, encoding="utf-8")
    if code is None:
        return Found(mutant.name, "killed", "time", seconds)
    if code == 0:
        return Found(mutant.name, "equivalent" if mutant.equivalent else "survived", None, seconds)
    failure = _first_failure(said)
    if code != 1 or failure is None:
        print(said[-3000:], file=sys.stderr)
        return Found(mutant.name, "broken", None, seconds)
    return Found(mutant.name, "killed", failure, seconds)


def _pytest(copy: Path, tests: list[str], seconds: float | None) -> tuple[int | None, str, float]:
    """Exit code (None: out of time), what was said, and how long it took."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(LOADED))
    told = copy / "told.txt"
    begun = time.perf_counter()
    process = context.Process(target=_run_tests, args=(copy, tests, told))
    process.start()
    process.join(seconds)
    code = process.exitcode
    if code is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return code, told.read_text(encoding="utf-8", errors="replace"), time.perf_counter() - begun


def _run_tests(copy: Path, tests: list[str], told: Path) -> None:
    """In a process of its own, forked from one that has loaded what takes long to load."""
    os.setsid()
    output = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(copy)
    # Several faults at a time share the cores. Files compiled in passing might fit the time and size of another fault.
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = True
    sys.path[:] = [str(copy), *(place for place in sys.path if Path(place or ".").resolve() not in (ROOT, HERE))]

    import pytest

    words = ["-x", "-q", "-p", "pytest_timeout", "-o", "timeout=0", "-p", "no:cacheprovider", "-W", "ignore"]
    sys.exit(int(pytest.main([*words, "-rfE", "--tb=short", *tests])))


def _first_failure(said: str) -> str | None:
    found = re.search(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", said, re.MULTILINE)
    return found[1] if found else None


def _digest(mutant: Mutant) -> str:
    """SHA-256 of the fault, the file that it is planted in, and its tests."""
    digest = hashlib.sha256((f"{mutant.find}\0{mutant.replace}" + (mutant.equivalent or "")).encode())
    for path in (*places(mutant), *(ROOT / name.partition("::")[0] for name in mutant.tests)):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes() if file.is_file() else b"missing")
    return digest.hexdigest()


def _earlier(path: Path) -> dict[str, tuple[str, Found]]:
    """Name -> (digest, what became of it) of an earlier run."""
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["mutants"]
    rows = [row for row in rows if row["outcome"] not in ("stale", "broken")]
    return {row["name"]: (row["digest"], Found(row["name"], row["outcome"], row["by"], row["seconds"])) for row in rows}


def _write(
    options: argparse.Namespace,
    mutants: list[Mutant],
    digests: dict[str, str],
    done: dict[str, Found],
    seconds: float,
) -> None:
    sys.path.insert(0, str(ROOT))
    from xmatch.evaluation.certificate import certificate

    rows: list[dict[str, Any]] = []
    for mutant in mutants:
        if (found := done.get(mutant.name)) is not None:
            why = {"equivalent": mutant.equivalent} if mutant.equivalent else {}
            told = {"file": mutant.file, "find": mutant.find, "replace": mutant.replace, **why}
            rows.append({**told, **asdict(found), "seconds": round(found.seconds, 1), "digest": digests[mutant.name]})
    born = certificate(["python", "benchmarks/mutants.py", *sys.argv[1:]], jobs=options.jobs, threads=1)
    document = {
        "schema": SCHEMA,
        "certificate": {**born, "seconds": round(seconds, 1)},
        "counts": {"faults": len(mutants), **Counter(row["outcome"] for row in rows)},
        "mutants": rows,
    }
    temporary = options.output.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    temporary.replace(options.output)


def _told(mutants: list[Mutant], found: list[Found]) -> int:
    """The table on stdout; 0 when nothing survived that should not have."""
    by_name = {mutant.name: mutant for mutant in mutants}
    bad = [each for each in found if each.outcome not in ("killed", "equivalent")]
    for each in bad:
        mutant = by_name[each.name]
        print(f"{each.outcome}: {mutant.name}\n    {mutant.file}: {mutant.find!r} -> {mutant.replace!r}")
    counts = Counter(each.outcome for each in found)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
