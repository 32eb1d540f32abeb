"""Threads that compute together get each the answer that it gets alone, in few calls, whatever fails beside it."""

from __future__ import annotations

import threading

import pytest

from xmatch.ops import batching
from xmatch.ops.batching import once, run_together, together
from xmatch.workers.processes import Stopped


class Doubler:
    """Work that remembers how many items it was given at once, and has memory for so many."""

    def __init__(self, room: int = 1000) -> None:
        self.calls: list[int] = []
        self._room = room

    def __call__(self, items, plus=0):
        self.calls.append(len(items))
        if len(items) > self._room:
            raise MemoryError
        if "unlucky" in items:
            raise ValueError("of its own")
        return [2 * item + plus for item in items]


def answers(ended) -> dict:
    return dict(ended)


def test_outside_of_a_batch_work_is_done_at_once():
    double = Doubler()
    assert together(double, [1, 2], 5) == [7, 9] and double.calls == [2]
    assert together(double, []) == []


def test_threads_that_meet_are_one_call():
    """Half of those under way, then half of the rest."""
    double = Doubler()
    found = answers(run_together(lambda item: together(double, [item])[0], range(8), at_once=8))
    assert found == {item: 2 * item for item in range(8)}
    assert sum(double.calls) == 8 and double.calls[0] >= 4 and len(double.calls) <= 4


def test_items_are_taken_as_threads_become_free():
    double, under_way, most = Doubler(), [], []

    def work(item):
        under_way.append(item)
        most.append(len(under_way))
        answer = together(double, [item])[0]
        under_way.remove(item)
        return answer

    found = answers(run_together(work, range(20), at_once=4))
    assert found == {item: 2 * item for item in range(20)} and 2 <= max(most) <= 4


def test_work_of_other_kinds_is_not_mixed():
    double, other = Doubler(), Doubler()
    all_asked = threading.Barrier(4, timeout=5)

    def work(item):
        all_asked.wait()
        return together(double if item % 2 else other, [item], item // 2)[0]

    found = answers(run_together(work, range(4), at_once=4))
    assert found == {0: 0, 1: 2, 2: 5, 3: 7}
    assert double.calls == [1, 1] and other.calls == [1, 1]


def test_those_that_read_are_not_waited_for():
    double, read = Doubler(), threading.Event()

    def work(item):
        if item == 2:
            assert read.wait(5), "the other two are not done before this one has read"
        answer = together(double, [item])[0]
        if item == 1:
            read.set()
        return answer

    assert answers(run_together(work, range(3), at_once=3)) == {0: 0, 1: 2, 2: 4}


def test_where_memory_does_not_suffice_half_is_computed_at_once_and_it_goes_on():
    double = Doubler(room=3)
    assert together(double, range(8)) == [2 * item for item in range(8)]
    assert double.calls == [8, 4, 2, 2, 2, 2], "and what did not suffice is not tried again"
    small = Doubler(room=3)

    def work(item):
        return together(small, [item] * 4)[0], together(small, [item] * 4)[0]

    assert answers(run_together(work, [5], at_once=1)) == {5: (10, 10)}
    assert small.calls == [4, 2, 2, 2, 2], "nor by who comes later"


def test_one_item_that_is_too_large_is_told_so():
    with pytest.raises(MemoryError):
        together(Doubler(room=0), [1])


def test_a_fault_is_that_of_its_own_item():
    double = Doubler()

    def work(item):
        try:
            return together(double, [item])[0]
        except ValueError as error:
            return str(error)

    found = answers(run_together(work, [1, "unlucky", 3, 4], at_once=4))
    assert found == {1: 2, "unlucky": "of its own", 3: 6, 4: 8}


def test_a_fault_while_memory_is_given_back_reaches_all_that_wait(monkeypatch):
    """A device that has failed for good says so there; nobody waits for it for ever."""

    def give_back():
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(batching, "give_back", give_back)
    told, short = threading.Barrier(3, timeout=5), Doubler(room=0)

    def work(item):
        if item:
            with pytest.raises(RuntimeError):
                together(short, [item])
        told.wait()

    assert answers(run_together(work, range(3), at_once=3)) == {0: None, 1: None, 2: None}


@pytest.mark.parametrize("count", [-1, 1])
def test_work_that_miscounts_is_a_fault_and_no_other_items_answer(count):
    told = threading.Barrier(3, timeout=5)

    def miscounting(items):
        return [0] * (len(items) + count)

    def work(item):
        if item:
            with pytest.raises(ValueError, match="answers"):
                together(miscounting, [item])
        told.wait()

    answers(run_together(work, range(3), at_once=3))


def test_what_work_asks_for_in_turn_is_computed_at_once():
    done = threading.Barrier(3, timeout=5)

    def twice(items):
        return together(Doubler(), together(Doubler(), items))

    def work(item):
        answer = together(twice, [item])[0] if item else 0
        done.wait()
        return answer

    assert answers(run_together(work, range(3), at_once=3)) == {0: 0, 1: 4, 2: 8}


def test_what_all_need_is_made_once():
    made = []

    def make(name):
        made.append(name)
        return object()

    found = answers(run_together(lambda item: once(make, "network"), range(4), at_once=4))
    assert len(set(found.values())) == 1 and made == ["network"]
    assert once(make, "network") is not once(make, "network"), "outside of a batch nothing is kept"


def test_a_caller_that_stops_asking_ends_those_that_wait():
    ended, under_way = threading.Event(), threading.Barrier(5, timeout=5)

    def work(item):
        under_way.wait()
        if item == 0:
            return "first"
        if item == 1:  # too few to begin: the others read
            try:
                return together(Doubler(), [item])[0]
            except Stopped:
                ended.set()
                raise
        assert ended.wait(5)
        return "read"

    run = run_together(work, range(5), at_once=5)
    assert next(run) == (0, "first")
    run.close()
    assert ended.is_set()


def test_what_the_work_raises_is_raised():
    def work(item):
        raise KeyError(item)

    with pytest.raises(KeyError):
        answers(run_together(work, [1], at_once=2))
