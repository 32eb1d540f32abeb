"""A real scheduler of Dask and two worker processes, of which one is killed in the middle."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace

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


@pytest.fixture
def held(tmp_path, monkeypatch):
    """An item that is late as soon as it has begun; no other ever is."""
    pytest.importorskip("distributed")
    path = tmp_path / "held"
    monkeypatch.setattr(on_dask, "POLL_S", 0.1)
    monkeypatch.setattr(on_dask, "_is_late", lambda asked, *_: asked.item == str(path) and path.exists())
    return str(path)


def test_what_takes_too_long_is_given_up_and_its_worker_starts_anew(held):
    found = list(run_on_cluster(tasks.hold_if_named, [held, ""], None, 1, limit_s=1000))
    assert found == [(held, Lost.OVERDUE), ("", "")]


def test_a_worker_that_nobody_starts_again_is_left_out(held, start_cluster):
    found = list(run_on_cluster(tasks.hold_if_named, [held, "", "", ""], start_cluster(0).address, limit_s=1000))
    assert sorted(found, key=str) == sorted([("", "")] * 3 + [(held, Lost.OVERDUE)], key=str)


@pytest.mark.parametrize(
    ("since", "done", "late"), [(-1e9, False, True), (-1e9, True, False), (float("inf"), False, False)]
)
def test_late_is_what_is_not_done_by_its_time(since, done, late):
    future = SimpleNamespace(done=lambda: done)
    assert on_dask._is_late(on_dask._Flight("item", since=since), 1000, future) == late


class _Told:
    """A client, as far as it is asked where items are: worker -> their keys."""

    def __init__(self, **places):
        self.places = places
        self.restarted = []

    def processing(self):
        return self.places

    def cancel(self, futures, force):
        pass

    def restart_workers(self, workers, timeout, raise_for_error):
        self.restarted = workers


@dataclass(frozen=True)
class _Future:
    key: str


def _flights(*keys):
    """By futures, each handed over long ago."""
    return {_Future(key): on_dask._Flight(key, since=-1e9) for key in keys}


def _begun_anew(flying):
    return {asked.item for asked in flying.values() if asked.since > -1e9}


def test_what_else_an_ended_worker_was_at_has_its_whole_time_again():
    client, flying = _Told(a=["late", "beside"], b=["elsewhere"]), _flights("late", "beside", "elsewhere")
    on_dask._see_where(client, flying)
    assert _begun_anew(flying) == set()
    on_dask._give_up(client, [next(iter(flying))], flying)
    assert client.restarted == ["a"]
    assert _begun_anew(flying) == {"late", "beside"}


def test_what_another_worker_begins_anew_has_its_whole_time_again():
    client, flying = _Told(a=["moves", "waits"], b=["stays"]), _flights("moves", "waits", "stays")
    on_dask._see_where(client, flying)
    client.places = {"b": ["stays", "moves"]}
    on_dask._see_where(client, flying)
    assert _begun_anew(flying) == {"moves", "waits"}


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
