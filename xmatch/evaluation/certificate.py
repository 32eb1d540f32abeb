"""Under which circumstances a number was born."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from xmatch.evaluation.rows import Hardware, RunCertificate
from xmatch.provenance import commit, linked_versions, versions

DECISIVE = (".py", ".json", ".safetensors")
"""Suffixes of the package's files that can change a result."""


def certificate(command: list[str], *, jobs: int, threads: int) -> RunCertificate:
    """Command, time, code, versions and hardware of this session; JSON-ready."""
    return {
        "command": " ".join(command),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "code_sha256": _code_digest(),
        "versions": {**versions(), **linked_versions()},
        "hardware": _hardware(),
        "jobs": jobs,
        "threads": threads,
    }


def _package() -> Path:
    return Path(__file__).resolve().parent.parent


def _code_digest() -> str:
    """SHA-256 over the package's code and fitted numbers: exact where a commit is not (dirty trees, installed
    packages)."""
    digest = hashlib.sha256()
    for path in sorted(p for p in _package().rglob("*") if p.suffix in DECISIVE):
        digest.update(path.relative_to(_package()).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _hardware() -> Hardware:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Of a machine with more to do than it has cores, seconds say little.
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {"processor": _processor(), "cores": cores, "memory_gib": _memory_gib(), "load_before": load}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
