"""CSV files that survive interruptions."""

import sys

import pytest

from xmatch.errors import UsageError
from xmatch.training.history import History


def rows(path):
    return path.read_text().splitlines()


def test_rows_are_there_as_soon_as_they_are_added(tmp_path):
    history = History(tmp_path / "h.csv", 0)
    history.add({"step": 1, "total": 0.5})
    history.add({"step": 2, "total": 0.25})
    assert rows(tmp_path / "h.csv") == ["step,total", "1,0.5", "2,0.25"]


def test_going_on_cuts_off_later_rows_and_half_a_line(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("step,total\r\n1,0.5\r\n2,0.25\r\n3,0.1\r\n4,0.")
    History(path, 2).add({"step": 3, "total": 0.125})
    assert rows(path) == ["step,total", "1,0.5", "2,0.25", "3,0.125"]


def test_what_a_later_stage_reports_besides_becomes_a_column(tmp_path):
    path = tmp_path / "h.csv"
    history = History(path, 0)
    history.add({"step": 1, "total": 0.5})
    history.add({"step": 2, "total": 0.25, "regression_8": 0.1})
    assert rows(path) == ["step,total,regression_8", "1,0.5,", "2,0.25,0.1"]
    History(path, 2).add({"step": 3, "total": 0.125})
    assert rows(path) == ["step,total,regression_8", "1,0.5,", "2,0.25,0.1", "3,0.125,"]


def test_beginning_anew_removes_what_was_there(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text("step,other\n1,2\n")
    History(path, 0).add({"step": 1, "total": 3})
    assert rows(path) == ["step,total", "1,3"]


def test_without_tensorboard_asking_for_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    History(tmp_path / "a.csv", 0)
    with pytest.raises(UsageError, match="not installed"):
        History(tmp_path / "b.csv", 0, tmp_path / "events")


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = History(tmp_path / "h.csv", 0, tmp_path / "events")
    history.add({"step": 5, "total": 0.5})
    history.add({"step": 5, "modalities": "sar-visible", "total": 0.25})
    history.close()
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    (event,) = events.Scalars("h/total")
    assert (event.step, event.value) == (5, 0.5)
    assert [event.value for event in events.Scalars("h/sar-visible/total")] == [0.25]
