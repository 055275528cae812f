from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Thread, current_thread

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from exporter.clock import Clock
from exporter.scheduling.scheduler import MonotonicZone, NextAtTrigger, Scheduler


class NoWall(Clock):
    """A clock whose wall time jumps at every look."""

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(speed)
        self._looks = 0

    def wall(self) -> float:
        self._looks += 1
        return 1e9 if self._looks % 2 == 0 else -1e9


@pytest.fixture(params=[1.0, 20.0], ids=["real time", "20 times as fast"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return NoWall(request.param)


@pytest.fixture
def scheduler(clock: Clock) -> Iterator[Scheduler]:
    made = Scheduler(clock)
    made.start()
    yield made
    made.shutdown()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Job:
    """Due every `every` seconds of a clock, so many times; knows when it fired and how late."""

    def __init__(self, clock: Clock, every: float, times: int) -> None:
        self.clock, self.every, self.left = clock, every, times
        self.due = clock.monotonic()
        self.fired: list[float] = []
        self.late: list[float] = []
        self.early = 0
        self.over = Event()

    def next_at(self) -> float:
        return self.due if self.left else float("inf")

    def act(self) -> None:
        now = self.clock.monotonic()
        if now < self.due or not self.left:
            self.early += 1
            return
        self.fired.append(now)
        self.late.append(now - self.due)
        self.due += self.every
        self.left -= 1
        if not self.left:
            self.over.set()


def test_a_job_fires_on_time_by_the_clock_whatever_the_wall_says(scheduler: Scheduler, clock: Clock) -> None:
    job = Job(clock, 0.05 * clock.speed, 8)
    scheduler.schedule("job", job.next_at, job.act)
    assert job.over.wait(5)
    assert min(job.late) < 0.05 * clock.speed, "on a busy machine not every one is on time, but one is"
    assert job.early <= 1


def test_jobs_do_not_wait_for_each_other(scheduler: Scheduler, clock: Clock) -> None:
    jobs = [Job(clock, 0.03 * clock.speed, 4) for _ in range(10)]
    for number, job in enumerate(jobs):
        scheduler.schedule(f"job {number}", job.next_at, job.act)
    for job in jobs:
        assert job.over.wait(5)


def test_turns_that_lie_close_together_fire_together_and_none_before_its_time() -> None:
    clock = FakeClock()
    zone, now = MonotonicZone(clock), clock.monotonic()
    assert now == 7000.0
    fires = [
        NextAtTrigger(partial(float, due), zone).get_next_fire_time(None, zone.at(now))
        for due in (7000.21, 7000.25, 7000.3, 7000.31, 6999.0)
    ]
    late = [(at - zone.at(now)).total_seconds() for at in fires]
    assert late == pytest.approx([0.3, 0.3, 0.3, 0.4, 0.001], abs=1e-6)


def test_a_job_that_crashes_is_logged_and_runs_again(scheduler: Scheduler, clock: Clock) -> None:
    job = Job(clock, 0.02 * clock.speed, 3)

    def crash() -> None:
        job.act()
        raise RuntimeError

    with capture_logs() as logged:
        scheduler.schedule("job", job.next_at, crash)
        assert job.over.wait(5)
        scheduler.remove("job")
    assert {(line["event"], line["job"]) for line in logged} == {("job.failed", "job")}
    assert scheduler.alive


def test_a_fault_that_ends_the_thread_is_logged_and_seen(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    scheduler.start()
    assert scheduler.alive
    looks = iter([clock.monotonic()])
    threading.excepthook, hook = lambda _: None, threading.excepthook
    try:
        with capture_logs() as logged:
            scheduler.schedule("job", lambda: next(looks), lambda: None)
            wait_until(lambda: not scheduler.alive)
            wait_until(lambda: not scheduler._thread.is_alive())
    finally:
        threading.excepthook = hook
    assert [line["event"] for line in logged] == ["scheduler.failed"]
    scheduler.shutdown()


def test_nothing_is_logged_of_a_scheduler_that_works(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        scheduler = Scheduler(clock)
        job = Job(clock, 0.01 * clock.speed, 3)
        scheduler.schedule("job", job.next_at, job.act)
        scheduler.start()
        assert job.over.wait(5)
        scheduler.shutdown()
    assert not caplog.text, "APScheduler's own lines name the year 2000"


def test_a_job_that_is_never_due_can_be_rescheduled(scheduler: Scheduler, clock: Clock) -> None:
    job = Job(clock, 1.0, 0)
    scheduler.schedule("job", job.next_at, job.act)
    assert not job.over.wait(0.05)
    job.left, job.due = 1, clock.monotonic()
    scheduler.reschedule("job")
    assert job.over.wait(5)


def test_a_time_that_was_asked_for_before_it_changed_does_not_replace_the_one_asked_for_after(
    scheduler: Scheduler, clock: Clock
) -> None:
    job, asked, go_on = Job(clock, 1.0, 0), Event(), Event()
    first = Thread(target=scheduler.reschedule, args=("job",))
    second = Thread(target=scheduler.reschedule, args=("job",))

    def next_at() -> float:
        at = job.next_at()
        if current_thread() is first:
            asked.set()
            go_on.wait(10)
        return at

    scheduler.schedule("job", next_at, job.act)
    first.start()
    assert asked.wait(5)
    job.left, job.due = 1, clock.monotonic() + 0.5 * clock.speed
    second.start()
    second.join(0.1)  # It may have to wait for the first.
    go_on.set()
    assert job.over.wait(5), "else a brand whose first venues come with a reload is not polled for an hour"


def test_a_job_that_was_forgotten_does_not_fire(scheduler: Scheduler, clock: Clock) -> None:
    job = Job(clock, 0.0, 10**9)
    scheduler.schedule("job", job.next_at, job.act)
    scheduler.remove("job")
    fired = len(job.fired)
    time.sleep(0.05)
    assert len(job.fired) == fired
    scheduler.remove("job")
    scheduler.reschedule("job")


def test_nothing_fires_after_the_shutdown_which_may_come_twice(scheduler: Scheduler, clock: Clock) -> None:
    job = Job(clock, 0.01 * clock.speed, 10**9)
    scheduler.schedule("job", job.next_at, job.act)
    time.sleep(0.05)
    scheduler.shutdown()
    scheduler.shutdown()
    time.sleep(0.02)
    fired = len(job.fired)
    time.sleep(0.05)
    assert len(job.fired) == fired
    scheduler.remove("job")


def test_jobs_added_before_the_start_fire_after_it(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    job = Job(clock, 1.0, 1)
    scheduler.schedule("job", job.next_at, job.act)
    assert not job.over.wait(0.05)
    scheduler.start()
    assert job.over.wait(5)
    scheduler.shutdown()


# The time zone and the trigger


def at(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def test_it_is_as_late_as_the_clock_says() -> None:
    clock = FakeClock()
    zone = MonotonicZone(clock)
    before = datetime.now(zone)
    clock.forward(12.5)
    assert datetime.now(zone) - before == timedelta(seconds=12.5)
    assert datetime.now(zone) == zone.at(clock.monotonic())
    assert (zone.tzname(None), zone.utcoffset(None), zone.dst(None)) == ("monotonic", timedelta(0), timedelta(0))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(5.0, 5.0), (0.0, 0.001), (-100.0, 0.001), (float("inf"), 3600.0), (10**6, 3600.0)],
    ids=["then", "now", "overdue", "never", "far away"],
)
def test_the_next_firing_is_after_now_and_within_the_hour(wanted: float, expected: float) -> None:
    clock = FakeClock()
    zone = MonotonicZone(clock)
    now = datetime.now(zone)
    found = NextAtTrigger(at(clock.monotonic() + wanted), zone).get_next_fire_time(None, now)
    assert (found - now).total_seconds() == pytest.approx(expected)
