"""Threads of torch and OpenCV belong to the caller."""

from __future__ import annotations

import os
import threading

import cv2
import pytest
import torch

from xmatch.ops.threads import opencv_threads, sleep_while_waiting, sum_on_one_thread, torch_threads

LIBRARIES = {
    "OpenCV": (opencv_threads, cv2.getNumThreads, cv2.setNumThreads),
    "torch": (torch_threads, torch.get_num_threads, torch.set_num_threads),
}


@pytest.fixture(params=LIBRARIES)
def library(request):
    """(context manager, reader); the process runs on three threads, and on what it had afterwards."""
    limited, read, write = LIBRARIES[request.param]
    before = read()
    write(3)
    yield limited, read
    write(before)


def test_they_are_given_back(library):
    limited, read = library
    with limited(1):
        assert read() == 1
    assert read() == 3


def test_they_are_given_back_after_an_error(library):
    limited, read = library
    with pytest.raises(KeyError), limited(1):
        raise KeyError
    assert read() == 3


def test_blocks_may_lie_in_one_another(library):
    limited, read = library
    with limited(2):
        with limited(1):
            assert read() == 1
        assert read() == 2
    assert read() == 3


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_threads_of_a_program_leave_what_they_found(library, first_out):
    limited, read = library
    entered = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]

    def compute(number: int) -> None:
        with limited(1 + number):
            entered[number].set()
            leave[number].wait(10)

    threads = [threading.Thread(target=compute, args=(number,)) for number in (0, 1)]
    for number, thread in enumerate(threads):
        thread.start()
        assert entered[number].wait(10)
    for number in (first_out, 1 - first_out):
        leave[number].set()
        threads[number].join(10)
    late = []
    after = threading.Thread(target=lambda: late.append(read()))
    after.start()
    after.join(10)
    assert (read(), late) == (3, [3])


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # what was there before comes back in the end
    sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    del os.environ["OMP_WAIT_POLICY"]
    sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_sums_are_those_of_one_thread_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    sum_on_one_thread()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "4"
    del os.environ["OPENBLAS_NUM_THREADS"]
    sum_on_one_thread()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
