from __future__ import annotations

import threading
from collections.abc import Iterator
from threading import Barrier, Event

import pytest
from structlog.testing import capture_logs

from exporter.errors import Stopped
from exporter.scheduling.workers import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers("tandir-group", 4)
    yield made
    made.stop()


def test_calls_run_side_by_side_up_to_the_size(workers: Workers) -> None:
    together = Barrier(4, timeout=5)
    for _ in range(4):
        workers.submit(together.wait)
    workers.join(5)
    assert not together.broken


def test_a_call_beyond_the_size_waits_for_its_turn(workers: Workers) -> None:
    go, ran = Event(), Event()
    for _ in range(4):
        workers.submit(lambda: go.wait(5))
    assert not workers.free
    workers.submit(ran.set)
    assert not ran.wait(0.05)
    go.set()
    assert ran.wait(5)


def test_threads_are_started_as_they_are_needed_and_used_again(workers: Workers) -> None:
    used = set()
    for _ in range(20):
        workers.submit(lambda: used.add(threading.get_ident()))
        workers.join(5)
    assert len(used) == 1


def test_one_that_hangs_holds_up_nobody_else(workers: Workers) -> None:
    go, ran = Event(), Event()
    workers.submit(lambda: go.wait(5))
    workers.submit(ran.set)
    assert ran.wait(5)
    assert workers.free
    go.set()


def test_a_call_that_crashes_is_logged_and_its_thread_goes_on(workers: Workers) -> None:
    ran = Event()

    def crash() -> None:
        raise OSError("the log cannot be written to")

    with capture_logs() as told:
        workers.submit(crash)
        workers.join(5)
        workers.submit(ran.set)
        assert ran.wait(5)
    assert [(line["event"], line["worker"]) for line in told] == [("worker.failed", "tandir-group")]


def test_a_call_that_the_end_of_the_process_cut_is_no_crash(workers: Workers) -> None:
    def stopped() -> None:
        raise Stopped

    with capture_logs() as told:
        workers.submit(stopped)
        workers.join(5)
    assert not told


def test_stopping_ends_the_threads_after_what_they_do(workers: Workers) -> None:
    go = Event()
    mine: list[threading.Thread] = []
    both = Barrier(3, timeout=5)

    def work() -> None:
        mine.append(threading.current_thread())
        both.wait()
        go.wait(5)

    for _ in range(2):
        workers.submit(work)
    both.wait()
    workers.stop()
    assert all(thread.is_alive() for thread in mine)
    go.set()
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()


def test_joining_waits_for_what_runs_and_not_longer_than_it_is_told(workers: Workers) -> None:
    go = Event()
    workers.submit(lambda: go.wait(5))
    workers.join(0.05)
    assert workers.size == 4
    go.set()
    workers.join(5)
    assert workers._busy == 0


def test_the_threads_do_not_keep_the_process_alive(workers: Workers) -> None:
    daemons: list[bool] = []
    workers.submit(lambda: daemons.append(threading.current_thread().daemon))
    workers.join(5)
    assert daemons == [True]
