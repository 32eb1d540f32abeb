from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import start_cluster  # noqa: F401
from fakes import BEHAVIOURS, write_image


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(capsys):
    """Run a command line in this process."""
    from xmatch.cli import app
    from xmatch.cli.runtime import run

    def call(*args: object) -> Result:
        capsys.readouterr()
        code = run(app, [str(arg) for arg in args])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def behave(monkeypatch):
    """Choose what `register` does: behave("untrusted")."""

    def choose(name: str) -> None:
        monkeypatch.setattr("xmatch.registration.pipeline.register", BEHAVIOURS[name])

    choose("trusted")
    return choose


@pytest.fixture
def pair(tmp_path, monkeypatch, behave):
    """optical.tif and sar.tif in the current directory, an empty one otherwise; registrations succeed."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "optical.tif")
    write_image(tmp_path / "sar.tif", seed=1)
    return "optical.tif", "sar.tif"


@pytest.fixture
def spawn(tmp_path):
    """Start a command line in a process of its own, in an empty directory with optical.tif and sar.tif."""
    write_image(tmp_path / "optical.tif")
    write_image(tmp_path / "sar.tif", seed=1)
    children = []

    def start(*args: str | bytes, fake: str = "trusted", shell: str | None = None, **more: Any) -> subprocess.Popen:
        command: Any = [sys.executable, str(Path(__file__).with_name("fakes.py")), *args]
        if shell is not None:
            command = ["sh", "-c", shell, *command]
        path = os.pathsep.join(p for p in sys.path if p)
        env = {**os.environ, "PYTHONPATH": path, "XMATCH_FAKE": fake, **more.pop("env", {})}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        children.append(subprocess.Popen(command, cwd=tmp_path, env=env, **streams))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()
