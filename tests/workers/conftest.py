from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class Cluster:
    address: str
    scheduler: subprocess.Popen


@pytest.fixture
def cluster(tmp_path):
    """Dask's own scheduler and two worker processes, started as an administrator would; an item whose worker dies is
    not tried again."""
    pytest.importorskip("distributed")
    told = tmp_path / "scheduler.json"
    path = os.pathsep.join([str(Path(__file__).parent), *(p for p in sys.path if p)])
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
    environment = {**os.environ, "PYTHONPATH": path, **settings}

    def start(program: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", told, "--no-dashboard"]
        return subprocess.Popen([*command, *options], env=environment, cwd=tmp_path, **QUIET)

    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")
    workers = [start("dask_worker", "--nthreads", "1", "--no-nanny", "--name", name) for name in "ab"]
    while not (told.exists() and told.stat().st_size):
        time.sleep(0.02)
    yield Cluster(json.loads(told.read_text())["address"], scheduler)
    for process in (*workers, scheduler):
        process.kill()
        process.wait()
