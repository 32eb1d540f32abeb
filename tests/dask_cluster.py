"""Dask's own scheduler and worker processes, started as an administrator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class Cluster:
    address: str
    scheduler: subprocess.Popen
    workers: list[subprocess.Popen]


@pytest.fixture
def start_cluster(tmp_path):
    """start_cluster(1): two workers of one thread each, which nobody starts again; an item whose worker dies is tried
    once more."""
    pytest.importorskip("distributed")
    told = tmp_path / "scheduler.json"
    processes = []

    def run(program: str, environment: dict[str, str], *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", told, "--no-dashboard"]
        processes.append(subprocess.Popen([*command, *options], env=environment, cwd=tmp_path, **QUIET))
        return processes[-1]

    def start(more_attempts: int) -> Cluster:
        path = os.pathsep.join([*(p for p in sys.path if p)])
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(more_attempts),
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        }
        scheduler = run("dask_scheduler", environment, "--host", "127.0.0.1", "--port", "0")
        workers = [run("dask_worker", environment, "--nthreads", "1", "--no-nanny", "--name", n) for n in "ab"]
        while not (told.exists() and told.stat().st_size):
            time.sleep(0.02)
        return Cluster(json.loads(told.read_text())["address"], scheduler, workers)

    yield start
    for process in processes:
        process.kill()
        process.wait()
