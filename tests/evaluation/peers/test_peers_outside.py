"""Outside programs, and peers that hang, crash or talk rubbish: all end as a PeerResult with its reason."""

import json
import os
import sys
import time

import cv2
import numpy as np
import pytest

from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import PeerSettings
from xmatch.evaluation.peers.isolation import isolated
from xmatch.evaluation.peers.registry import load_peer

SHIFT = [[1, 0, 3], [0, 1, -2], [0, 0, 1]]
POINT = np.array([[10.0, 20.0]])

PEERS_THAT_FAIL = """
import os, subprocess, sys, time
from pathlib import Path

class Misbehaves:
    def __init__(self, name):
        self.name = name

    def prepare(self):
        if self.name == "import":
            import no_such_module

    def __call__(self, fixed, moving, settings):
        print("about to", self.name, flush=True)
        if self.name == "exit":
            os._exit(7)
        if self.name == "segfault":
            os.kill(os.getpid(), 11)
        if self.name == "raise":
            raise ZeroDivisionError("by hand")
        if self.name == "answer 42":
            return 42
        if self.name == "hang":
            child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
            Path(settings.command).write_text(str(child.pid))
            time.sleep(60)
"""


@pytest.fixture
def pair(tmp_path):
    for name in ("fixed.png", "moving.png"):
        cv2.imwrite(str(tmp_path / name), np.full((40, 50), 90, np.uint8))
    return tmp_path / "fixed.png", tmp_path / "moving.png"


@pytest.fixture
def run(tmp_path, pair):
    """Runs a program with the given body, which knows its arguments as `fixed`, `moving` and `output`."""

    def run(body, **settings):
        script = tmp_path / "tool.py"
        script.write_text(f"import json, os, sys\nfixed, moving, output = sys.argv[1:]\n{body}\n")
        command = f"'{sys.executable}' -S '{script}' {{fixed}} {{moving}} {{output}}"
        return load_peer("program")(*pair, PeerSettings(command=command, **settings))

    return run


def writes(text):
    return f"open(output, 'w').write({text!r})"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SHIFT),
        json.dumps({"matrix": SHIFT}),
        json.dumps({"transform": {"kind": "homography", "matrix": SHIFT}}),
        "1 0 3\n0 1 -2\n0 0 1\n",
        "# found\n1,0,3\n0,1,-2\n",
        "1 0 3 0 1 -2 0 0 1",
    ],
)
def test_a_matrix_is_read_in_any_of_its_spellings(run, text):
    found = run(writes(text))
    assert found.transform(POINT) == pytest.approx(np.array([[13, 18]]))


def test_a_matrix_may_count_from_centres_and_map_backwards(run):
    """Doubling between centres at whole numbers takes the corner at -0.5 to -1, so ours at 0 to -0.5."""
    doubling = writes("2 0 0\n0 2 0\n0 0 1")
    assert run(doubling, pixel_origin="center").transform(np.zeros((1, 2))) == pytest.approx(np.full((1, 2), -0.5))
    assert run(doubling, direction="fixed_to_moving").transform(POINT) == pytest.approx(POINT / 2)


def test_correspondences_become_a_transform_fixed_before_moving(run):
    rows = [(x + 3, y - 2, x, y) for x in (1, 20, 40) for y in (2, 15, 35)]
    table = "x0,y0,x1,y1\n" + "\n".join(",".join(map(str, row)) for row in [*rows, (0, 0, 30, 30)])
    found = run(writes(table))
    assert found.transform(POINT) == pytest.approx(np.array([[13, 18]]))
    assert (found.correspondences, found.inliers) == (10, 9)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (writes("1 2 3\n2 4 6\n0 0 1"), "invertible"),
        (writes("1 0 nan\n0 1 0\n0 0 1"), "finite"),
        (writes("good morning"), "rows of numbers"),
        (writes("{nonsense"), "no matrix"),
        (writes('{"angle": 3}'), "JSON"),
        (writes("[[[1]]]"), "dimensions"),
        (writes("1 2\n3 4"), "2 rows of 2"),
        (writes(""), "rows of numbers"),
        ("open(output, 'wb').write(bytes(range(256)))", "no matrix"),
        (writes("x0,y0,x1,y1\n"), "0 correspondences"),
        ("print('nothing to say')", "nothing to say"),
        ("sys.exit('cannot see land')", "exit code 1: cannot see land"),
        ("os._exit(9)", "exit code 9"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
    ],
)
def test_a_program_that_fails_or_writes_rubbish_is_a_reason(run, body, reason):
    found = run(body)
    assert found.transform is None and reason in found.reason


def test_a_program_that_is_not_there_is_a_reason_and_a_bad_template_a_usage_error(pair):
    program = load_peer("program")
    found = program(*pair, PeerSettings(command="/no/such/tool {fixed} {moving} {output}"))
    assert found.transform is None and "cannot be started" in found.reason
    for command in (None, "tool {fixed} {moving}"):
        with pytest.raises(UsageError, match="output"):
            program(*pair, PeerSettings(command=command))


def test_arosics_runs_under_the_python_it_is_given(tmp_path, pair):
    """A stand-in for an environment with AROSICS; its shift is in CRS units, y upwards."""
    for name, text in {
        "arosics.py": "class COREG:\n"
        "    success = True\n"
        "    coreg_info = {'corrected_shifts_map': {'x': 30.0, 'y': 20.0}}\n"
        "    def __init__(self, *a, **k): pass\n"
        "    def calculate_spatial_shifts(self): return 'success'\n",
        "osgeo.py": "class gdal:\n"
        "    def Open(path):\n"
        "        class Set:\n"
        "            GetGeoTransform = lambda self: (500.0, 10.0, 0.0, 900.0, 0.0, -10.0)\n"
        "        return Set()\n",
    }.items():
        (tmp_path / name).write_text(text)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nPYTHONPATH='{tmp_path}' exec '{sys.executable}' \"$@\"\n")
    python.chmod(0o755)
    found = load_peer("arosics")(*pair, PeerSettings(python=str(python)))
    assert found.transform(POINT) == pytest.approx(np.array([[13, 18]]))
    (tmp_path / "arosics.py").write_text((tmp_path / "arosics.py").read_text().replace("True", "False"))
    none = load_peer("arosics")(*pair, PeerSettings(python=str(python)))
    assert none.transform is None and none.correspondences == 0 and not none.failed
    with pytest.raises(UsageError, match="Python"):
        load_peer("arosics")(*pair, PeerSettings())


@pytest.fixture
def misbehaves(tmp_path, monkeypatch):
    (tmp_path / "peers_that_fail.py").write_text(PEERS_THAT_FAIL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "peers_that_fail", raising=False)
    import peers_that_fail

    return peers_that_fail.Misbehaves


def test_what_a_peer_prepares_costs_it_no_time(pair, tmp_path, monkeypatch):
    text = "import time\nfrom xmatch.evaluation.peers.controls import Identity\nclass Slow(Identity):\n"
    (tmp_path / "slow_to_start.py").write_text(f"{text}    prepare = lambda self: time.sleep(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slow_to_start", raising=False)
    import slow_to_start

    run = isolated(slow_to_start.Slow(), *pair, PeerSettings())
    assert run.found.transform is not None and run.seconds < 1


def test_a_peer_alone_answers_and_its_cost_is_known(pair):
    run = isolated(load_peer("identity"), *pair, PeerSettings())
    assert run.found.transform(POINT) == pytest.approx(POINT)
    assert 0 < run.seconds < 1 and run.peak_memory_mib > 10


def test_a_program_finds_its_modules_where_it_would_without_us(pair, tmp_path, monkeypatch):
    """Another environment's Python must not be led to the packages of this one."""
    monkeypatch.setenv("PYTHONPATH", "/as/it/was")
    (tmp_path / "tool.py").write_text("import os, sys\nsys.exit(os.environ['PYTHONPATH'])\n")
    command = f"'{sys.executable}' -S '{tmp_path / 'tool.py'}' {{fixed}} {{moving}} {{output}}"
    run = isolated(load_peer("program"), *pair, PeerSettings(command=command))
    assert "exit code 1: /as/it/was" in run.found.reason


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("exit", "exit code 7 before it answered: about to exit"),
        ("segfault", "signal 11"),
        ("raise", "ZeroDivisionError: by hand"),
        ("answer 42", "int instead of PeerResult"),
        ("import", "no_such_module"),
    ],
)
def test_a_peer_that_crashes_is_a_reason(misbehaves, pair, what, reason):
    run = isolated(misbehaves(what), *pair, PeerSettings())
    assert run.found.transform is None and reason in run.found.reason


def test_a_missing_file_and_a_missing_setting_are_reasons_too(pair):
    assert "given the truth" in isolated(load_peer("truth"), *pair, PeerSettings()).found.reason
    gone = isolated(load_peer("centre"), pair[0], pair[0].with_name("gone.png"), PeerSettings())
    assert "gone.png" in gone.found.reason


def test_a_peer_that_hangs_is_stopped_with_all_that_it_started(misbehaves, pair, tmp_path):
    note = tmp_path / "child.txt"
    start = time.monotonic()
    run = isolated(misbehaves("hang"), *pair, PeerSettings(command=str(note)), timeout_s=3)
    assert run.found.reason == "It was stopped after 3 s." and time.monotonic() - start < 40
    assert note.exists() and ended(int(note.read_text()))


def ended(pid, within_s=15.0):
    """Whether a process is gone, or dead and not yet fetched by the one who must."""
    for _ in range(int(within_s / 0.05)):
        try:
            os.kill(pid, 0)
            if open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
