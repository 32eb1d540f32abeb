"""A real scheduler of Dask and two worker processes, of which one is killed in the middle."""

import sys

import pytest
import tasks

from xmatch.errors import ResourceError, UsageError
from xmatch.workers import cluster as on_dask
from xmatch.workers.cluster import run_on_cluster
from xmatch.workers.lost import Lost

pytestmark = pytest.mark.timeout(300)  # processes that start take long where others want the cores


def test_an_item_that_kills_its_worker_has_no_answer_and_the_others_have(start_cluster):
    found = dict(run_on_cluster(tasks.die_of_three, range(6), start_cluster(0).address))
    assert found == {0: 0, 1: 2, 2: 4, 3: Lost.DIED, 4: 8, 5: 10}


def test_a_cluster_that_goes_away_is_an_error_and_no_hang(start_cluster):
    cluster = start_cluster(0)
    answers = run_on_cluster(tasks.double, range(1000), cluster.address)
    assert next(answers)[1] is not None
    cluster.scheduler.kill()
    with pytest.raises(ResourceError, match="went away"):
        list(answers)


def test_on_a_cluster_that_is_started_here_an_item_whose_worker_dies_is_tried_once_more(tmp_path):
    pytest.importorskip("distributed")
    path = str(tmp_path / "a")
    assert list(run_on_cluster(tasks.die_once, [path], None, 1)) == [(path, path)]


def test_what_takes_too_long_is_given_up_and_its_worker_starts_anew(tmp_path):
    pytest.importorskip("distributed")
    held = str(tmp_path / "held")
    found = list(run_on_cluster(tasks.hold_if_named, [held, ""], None, 1, limit_s=2))
    assert found == [(held, Lost.OVERDUE), ("", "")]


def test_a_worker_that_nobody_starts_again_is_left_out(tmp_path, start_cluster):
    held = str(tmp_path / "held")
    found = list(run_on_cluster(tasks.hold_if_named, [held, "", "", ""], start_cluster(0).address, limit_s=2))
    assert sorted(found, key=str) == sorted([("", "")] * 3 + [(held, Lost.OVERDUE)], key=str)


def test_where_nobody_answers_is_said_so(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(on_dask, "CONNECT_S", 0.5)
    with pytest.raises(UsageError, match="no scheduler of Dask answers at tcp://127.0.0.1:9"):
        next(run_on_cluster(tasks.double, [1], "tcp://127.0.0.1:9"))


def test_without_dask_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'xmatch\[cluster\]'"):
        on_dask.import_distributed()


def test_workers_with_another_version_are_refused(start_cluster, monkeypatch):
    monkeypatch.setattr("xmatch._version.__version__", "0.0.1")
    with pytest.raises(UsageError, match="not 0.0.1"):
        next(run_on_cluster(tasks.double, [1], start_cluster(0).address))
