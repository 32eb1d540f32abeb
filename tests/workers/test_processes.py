"""Workers of this machine: a death is an item's, and nothing is left behind."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import tasks

from xmatch.workers import processes
from xmatch.workers.lost import Lost
from xmatch.workers.processes import run_in_processes


def test_every_item_is_answered_once():
    assert sorted(run_in_processes(tasks.double, range(5), 2)) == [(n, 2 * n) for n in range(5)]


def test_an_item_that_kills_its_process_has_no_answer_and_the_others_have():
    found = dict(run_in_processes(tasks.die_of_three, range(6), 2))
    assert found == {0: 0, 1: 2, 2: 4, 3: Lost.DIED, 4: 8, 5: 10}


@pytest.mark.parametrize("task", [tasks.die_once, tasks.is_stopped_once])
def test_a_death_that_was_chance_costs_nothing(tmp_path, task):
    paths = [str(tmp_path / name) for name in "ab"]
    assert dict(run_in_processes(task, paths, 2)) == dict(zip(paths, paths, strict=True))


def test_libraries_in_a_worker_have_the_threads_they_are_given(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(run_in_processes(tasks.threads_here, [0], 1, threads=3)) == [(0, "3")]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_whoever_stops_asking_ends_the_work_and_its_files_go(tmp_path):
    held = str(tmp_path / "held")
    with contextlib.closing(run_in_processes(tasks.hold_or_see, [("hold", held), ("see", held)], 2)) as answers:
        assert next(answers) == (("see", held), True)
    assert not Path(held).exists() and not multiprocessing.active_children()


def test_workers_end_with_the_process_that_asked_for_them(tmp_path):
    held = tmp_path / "held"
    code = (
        f"import tasks; from xmatch.workers.processes import run_in_processes\n"
        f"if __name__ == '__main__': list(run_in_processes(tasks.hold, [{str(held)!r}], 1))"
    )
    script = tmp_path / "asks.py"
    script.write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), *(p for p in sys.path if p)])
    asker = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path})
    assert tasks.comes_to(held, True)
    asker.kill()
    asker.wait()
    assert tasks.comes_to(held, False)


def test_what_takes_too_long_is_given_up_and_the_worker_goes_on(tmp_path):
    held = [str(tmp_path / name) for name in "ab"]
    found = list(run_in_processes(tasks.hold, held, 1, limit_s=0.2))
    assert found == [(path, Lost.OVERDUE) for path in held]


def test_a_process_that_hears_nothing_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    found = list(run_in_processes(tasks.never_comes_back, [1, 2], 1, limit_s=0.2))
    assert found == [(1, Lost.OVERDUE), (2, Lost.OVERDUE)]


def test_a_process_that_died_long_after_it_was_asked_for_is_not_late(tmp_path, monkeypatch):
    """It may have started slowly."""
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: 1e9, sleep=time.sleep))
    path = str(tmp_path / "a")
    assert list(run_in_processes(tasks.die_once, [path], 1, limit_s=1000)) == [(path, path)]


@pytest.fixture
def watch(monkeypatch):
    """The timer of a limit in this process, whose time comes when it is told."""

    class Watch:
        def __init__(self, limit_s, stop):
            Watch.comes = stop

        def start(self):
            pass

        def cancel(self):
            pass

    monkeypatch.setattr(processes.threading, "Timer", Watch)
    before = signal.signal(signal.SIGTERM, processes._unwind)
    yield Watch
    signal.signal(signal.SIGTERM, before)


def test_what_is_told_to_stop_takes_its_files_along(tmp_path, watch, monkeypatch):
    monkeypatch.setattr(tasks.time, "sleep", lambda _: watch.comes())
    held = tmp_path / "held"
    assert processes._within((tasks.hold, str(held), 1000, 1000)) is Lost.OVERDUE
    assert not held.exists()


def test_a_time_that_comes_while_the_work_ends_does_not_hit_what_follows(watch, monkeypatch):
    monkeypatch.setattr(watch, "cancel", lambda self: watch.comes())
    assert processes._within((tasks.double, 2, 1000, 1000)) == 4
