from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from structlog.testing import capture_logs

from exporter.errors import Stopped
from exporter.scheduling.pool import (
    GUARANTEED,
    MAX_PER_OWNER,
    SHARED,
    WorkerPool,
    raise_open_files_limit,
)

BRAND = "tandir-group"


@pytest.fixture
def pool() -> WorkerPool:
    return WorkerPool()


@pytest.fixture
def hang() -> Iterator[Callable[[], object]]:
    """Return a call that hangs until the test is over."""
    go = Event()
    yield lambda: go.wait(30)
    go.set()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def hold_all(pool: WorkerPool, owner: str, call: Callable[[], object]) -> int:
    """Start calls until the owner has its share, and return how many that were."""
    number = 0
    while pool.submit(owner, call):
        number += 1
    return number


def test_an_owner_that_is_alone_gets_the_most_threads_and_no_more(pool: WorkerPool, hang: Callable[[], object]) -> None:
    assert hold_all(pool, BRAND, hang) == MAX_PER_OWNER
    assert not pool.free(BRAND)


def test_what_is_refused_can_be_started_once_a_thread_is_free(pool: WorkerPool) -> None:
    go, ran = Event(), Event()
    hold_all(pool, BRAND, lambda: go.wait(30))
    go.set()
    assert pool.join(BRAND, 10)
    assert pool.submit(BRAND, ran.set)
    assert ran.wait(10)


def test_45_owners_that_hang_leave_a_healthy_one_its_threads(pool: WorkerPool, hang: Callable[[], object]) -> None:
    started = [hold_all(pool, f"brand {number}", hang) for number in range(45)]
    assert min(started) >= GUARANTEED
    assert sum(started) <= 45 * GUARANTEED + SHARED, "the pool is bounded"
    ran = [Event() for _ in range(GUARANTEED)]
    for event in ran:
        assert pool.submit("healthy", event.set)
    assert all(event.wait(10) for event in ran)


def test_two_owners_that_need_many_threads_get_as_many_each(pool: WorkerPool) -> None:
    go = Event()
    first = hold_all(pool, "first", lambda: go.wait(30))
    second = hold_all(pool, "second", lambda: go.wait(30))
    assert first == second == min(MAX_PER_OWNER, GUARANTEED + SHARED // 2)
    go.set()


def test_threads_are_used_again(pool: WorkerPool) -> None:
    used = set()
    for _ in range(20):
        assert pool.submit(BRAND, lambda: used.add(threading.get_ident()))
        assert pool.join(BRAND, 10)
    assert len(used) == 1


def test_a_thread_that_is_idle_for_long_ends() -> None:
    pool = WorkerPool(idle_seconds=0.02)
    threads: list[threading.Thread] = []
    for _ in range(3):
        assert pool.submit(BRAND, lambda: threads.append(threading.current_thread()))
    wait_until(lambda: len(threads) == 3)
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
    ran = Event()
    assert pool.submit(BRAND, ran.set)
    assert ran.wait(10)


def test_a_call_that_no_thread_can_be_started_for_is_refused(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, hang: Callable[[], object]
) -> None:
    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(threading.Thread, "start", no_thread)
        assert not pool.submit(BRAND, hang)
    assert [line["event"] for line in logged] == ["worker.not_started"]
    assert pool.join(BRAND, 0)
    assert hold_all(pool, BRAND, hang) == MAX_PER_OWNER, "nothing of it is left"


def test_a_call_that_crashes_is_logged_and_its_thread_goes_on(pool: WorkerPool) -> None:
    def crash() -> None:
        raise OSError("the disk is full")

    with capture_logs() as logged:
        pool.submit(BRAND, crash)
        assert pool.join(BRAND, 10)
    assert [(line["event"], line["owner"]) for line in logged] == [("worker.failed", BRAND)]
    ran = Event()
    pool.submit(BRAND, ran.set)
    assert ran.wait(10)


def test_a_call_that_the_end_of_the_process_cut_is_no_crash(pool: WorkerPool) -> None:
    def stopped() -> None:
        raise Stopped

    with capture_logs() as logged:
        pool.submit(BRAND, stopped)
        assert pool.join(BRAND, 10)
    assert not logged


def test_joining_waits_for_the_calls_of_the_owner_only(pool: WorkerPool, hang: Callable[[], object]) -> None:
    pool.submit("another", hang)
    assert pool.join(BRAND, 0)
    pool.submit(BRAND, hang)
    assert not pool.join(BRAND, 0.02)


def test_the_threads_do_not_keep_the_process_alive(pool: WorkerPool) -> None:
    daemons: list[bool] = []
    pool.submit(BRAND, lambda: daemons.append(threading.current_thread().daemon))
    assert pool.join(BRAND, 10)
    assert daemons == [True]


def test_the_soft_limit_on_open_files_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert raise_open_files_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
