from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from threading import Event, Thread

import pytest
from fakes import FakeClock, ManualScheduler, until, venue
from scheduling_fakes import FakeLimiter, venues
from structlog.testing import capture_logs

from exporter.model import Venue
from exporter.scheduling.loop import PollLoop
from exporter.scheduling.pool import MAX_PER_OWNER, WorkerPool


class Clopos:
    """What a loop polls and discovers."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.venues: Iterable[Venue] | Exception | None = venues(3)
        self.poll: Callable[[Venue], int | None] = lambda _: 1
        self.polled: list[tuple[float, str]] = []
        self.discovered: list[float] = []

    def ask(self, polled: Venue) -> int | None:
        self.polled.append((self.clock.monotonic(), polled.id))
        return self.poll(polled)

    def discover(self) -> Iterable[Venue] | None:
        self.discovered.append(self.clock.monotonic())
        if isinstance(self.venues, Exception):
            raise self.venues
        return self.venues

    def ids(self) -> list[str]:
        return [id_ for _, id_ in self.polled]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def clopos(clock: FakeClock) -> Clopos:
    return Clopos(clock)


@pytest.fixture
def scheduler(clock: FakeClock) -> ManualScheduler:
    return ManualScheduler(clock)


@pytest.fixture
def limiter() -> FakeLimiter:
    return FakeLimiter()


@pytest.fixture
def loop(clock: FakeClock, clopos: Clopos, scheduler: ManualScheduler, limiter: FakeLimiter) -> Iterator[PollLoop]:
    made = PollLoop(
        "tandir-group",
        scheduler=scheduler,  # type: ignore[arg-type]
        clock=clock,
        pool=WorkerPool(),
        limiter=limiter,
        poll=clopos.ask,
        discover=clopos.discover,
        poll_interval=30.0,
        discovery_interval=900.0,
    )
    scheduler.after_jobs = lambda: made.join(5)
    yield made
    made.stop()


def gaps(times: list[float]) -> list[float]:
    return [round(later - first) for first, later in pairwise(times)]


def test_venues_are_discovered_first_and_then_polled_round_robin(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    loop.start()
    scheduler.run(59)
    assert len(clopos.discovered) == 1
    assert clopos.ids() == ["0", "1", "2", "0", "1", "2", "0", "1"]
    assert clopos.discovered[0] < clopos.polled[0][0]


def test_the_list_of_venues_is_renewed(loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos) -> None:
    loop.start()
    scheduler.run(1)
    clopos.venues = venues(2, begin=7)
    scheduler.run(900)
    clopos.polled.clear()
    scheduler.run(60)
    assert set(clopos.ids()) == {"7", "8"}
    assert gaps(clopos.discovered) == [900]


def test_a_discovery_that_fails_is_repeated_after_a_growing_pause_of_a_minute_at_the_most(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    clopos.venues = None
    loop.start()
    scheduler.run(300)
    assert gaps(clopos.discovered) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_pause_is_never_longer_than_the_interval(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    loop.update(30.0, 5.0)
    clopos.venues = None
    loop.start()
    scheduler.run(30)
    assert gaps(clopos.discovered) == [1, 2, 4, 5, 5, 5, 5]


def test_a_discovery_that_worked_again_begins_with_short_pauses_when_it_fails(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    clopos.venues = None
    loop.start()
    scheduler.run(20)
    clopos.venues = venues(1)
    scheduler.run(60)
    clopos.discovered.clear()
    clopos.venues = None
    scheduler.run(905)
    assert gaps(clopos.discovered)[:2] == [1, 2]


def test_a_crash_in_a_discovery_is_repeated_like_a_failure(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    clopos.venues = RuntimeError("no")
    loop.start()
    with capture_logs() as logged:
        scheduler.run(2)
    assert [line["event"] for line in logged] == ["worker.failed"] * 2
    clopos.venues = venues(1)
    scheduler.run(10)
    assert clopos.ids() == ["0"]


def test_venues_that_are_known_from_before_are_polled_though_the_discovery_fails(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    clopos.venues = None
    loop.start([venue("5")])
    scheduler.run(20)
    assert clopos.ids() == ["5"]


def test_a_failed_discovery_keeps_the_venues(loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos) -> None:
    loop.start()
    scheduler.run(1)
    clopos.venues = None
    scheduler.run(950)
    clopos.polled.clear()
    scheduler.run(31)
    assert set(clopos.ids()) == {"0", "1", "2"}


def test_a_discovery_can_be_asked_for_now(loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos) -> None:
    loop.start()
    scheduler.run(100)
    loop.discover_now()
    scheduler.run(1)
    assert gaps(clopos.discovered) == [100]


def test_a_poll_that_fails_or_crashes_can_be_polled_again(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    def fail(polled: Venue) -> int | None:
        if polled.id == "1":
            raise RuntimeError
        return None

    clopos.poll = fail
    loop.start()
    with capture_logs():
        scheduler.run(95)
    assert clopos.ids()[:9] == ["0", "1", "2"] * 3
    assert loop.round_robin.skipped == 0


def test_a_venue_that_hangs_delays_nobody(loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos) -> None:
    go = Event()
    scheduler.after_jobs = lambda: until(lambda: loop._pool._running.total() == ("0" in clopos.ids()))
    clopos.poll = lambda polled: int(go.wait(20)) if polled.id == "0" else 1
    loop.start()
    scheduler.run(60.5)
    go.set()
    assert clopos.ids() == ["0", "1", "2", "1", "2", "1"]
    assert loop.round_robin.skipped == 2


def test_when_all_workers_hang_nothing_is_taken_until_one_is_free(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos, limiter: FakeLimiter
) -> None:
    go = Event()
    limiter.per_second = 1000.0
    clopos.venues = venues(MAX_PER_OWNER + 5)
    clopos.poll = lambda _: int(go.wait(20))
    scheduler.after_jobs = lambda: None
    loop.start()
    scheduler.run(0.01)
    loop.join(0.2)
    scheduler.run(3)
    loop.join(0.05)
    assert len(clopos.polled) == MAX_PER_OWNER
    assert loop.round_robin.skipped == 0
    go.set()
    loop.join(5)
    scheduler.after_jobs = lambda: loop.join(5)
    scheduler.run(30)
    assert len(set(clopos.ids())) == MAX_PER_OWNER + 5


def test_nothing_starts_after_the_stop(loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos) -> None:
    loop.start()
    scheduler.run(1)
    loop.stop()
    polled = len(clopos.polled)
    scheduler.run(100)
    assert len(clopos.polled) == polled
    assert not scheduler.jobs


def test_an_interval_that_has_to_be_stretched_is_logged_once_with_why(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    clopos.venues = venues(300)
    loop.start()
    with capture_logs() as logged:
        scheduler.run(200)
    (line,) = logged
    assert line["event"] == "poll_interval.changed"
    assert line["seconds"] == 76.5
    assert line["venues"] == 300
    assert line["why"] == "stretched to stay within the API quota"


def test_an_interval_that_is_as_configured_again_is_logged_too(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos, limiter: FakeLimiter
) -> None:
    clopos.venues = venues(100)
    limiter.per_second = 1.0
    loop.start()
    with capture_logs() as logged:
        scheduler.run(120)
        limiter.per_second = 4.0
        scheduler.run(120)
    assert [line["why"] for line in logged] == ["stretched to stay within the API quota", "as configured"]


def test_an_interval_that_goes_on_changing_is_logged_once_a_minute(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos, limiter: FakeLimiter
) -> None:
    clopos.venues = venues(300)
    loop.start()
    with capture_logs() as logged:
        for _ in range(18):
            limiter.per_second = 6.0 - limiter.per_second
            scheduler.run(10)
    assert len(logged) <= 4


# Isolation


def test_known_venues_are_polled_while_the_first_discovery_hangs(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    go = Event()
    clopos.discover = lambda: [] if go.wait(20) else None  # type: ignore[method-assign]
    loop._discover = clopos.discover
    scheduler.after_jobs = lambda: loop.join(0.02)
    loop.start(venues(3))
    scheduler.run(2)
    assert set(clopos.ids()) == {"0", "1", "2"}
    go.set()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let no thread start for as long as the list that is given holds something."""
    refuse, start = [True], Thread.start

    def start_or_not(thread: Thread) -> None:
        if refuse:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(Thread, "start", start_or_not)
    return refuse


def test_where_no_thread_starts_no_venue_and_no_discovery_is_lost(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos, no_threads: list[bool]
) -> None:
    clopos.venues = venues(60)
    loop.start(venues(60))
    with capture_logs():
        scheduler.run(45)
    assert clopos.ids() == []
    no_threads.clear()
    scheduler.run(32)
    assert len(clopos.discovered) == 1
    assert set(clopos.ids()) == {str(id_) for id_ in range(60)}
    assert loop.round_robin.skipped == 0


def test_a_discovery_finds_a_thread_while_all_polls_hang(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos, limiter: FakeLimiter
) -> None:
    go = Event()
    limiter.per_second = 1000.0
    clopos.poll = lambda _: int(go.wait(20))
    scheduler.after_jobs = lambda: loop.join(0.002)
    loop.start(venues(MAX_PER_OWNER + 1))
    clopos.venues = venues(MAX_PER_OWNER + 1)
    scheduler.run(1)
    assert len(clopos.polled) == MAX_PER_OWNER
    loop.discover_now()
    scheduler.run(1)
    assert len(clopos.discovered) == 2
    go.set()


def test_many_requests_for_a_discovery_become_one(loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos) -> None:
    loop.start()
    scheduler.run(100)
    clopos.discovered.clear()
    clopos.polled.clear()
    for _ in range(200):
        loop.discover_now()
        loop.update(30.0, 900.0)
        scheduler.run(0.1)
    assert 2 <= len(clopos.discovered) <= 5, "one in 5 s at 4 requests a second"
    scheduler.run(40)
    assert len(clopos.polled) >= 5


def test_a_short_discovery_interval_takes_a_twentieth_of_the_quota(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    loop.update(30.0, 1.0)
    clopos.venues = venues(300)
    loop.start()
    scheduler.run(300)
    assert set(gaps(clopos.discovered)) == {5}
    assert len(clopos.polled) >= 300 * 3


def test_a_discovery_that_is_wanted_during_another_follows_it(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos, clock: FakeClock
) -> None:
    def ask_for_another() -> Iterable[Venue]:
        clopos.discovered.append(clock.monotonic())
        if len(clopos.discovered) == 1:
            loop.discover_now()
        return venues(3)

    loop._discover = ask_for_another
    loop.start()
    scheduler.run(60)
    assert gaps(clopos.discovered) == [5]


def test_nothing_starts_in_a_loop_that_was_stopped_before_it_started(
    loop: PollLoop, scheduler: ManualScheduler, clopos: Clopos
) -> None:
    loop.stop()
    loop.start(venues(3))
    assert not scheduler.jobs
    assert clopos.polled == []
    assert clopos.discovered == []


def test_brands_that_hang_leave_a_healthy_one_its_polls(scheduler: ManualScheduler, clock: FakeClock) -> None:
    pool, go, limiter = WorkerPool(), Event(), FakeLimiter()
    healthy = Clopos(clock)
    loops = []
    for number in range(46):
        poll = healthy.ask if number == 45 else lambda _: int(go.wait(60))
        loops.append(
            PollLoop(
                f"brand {number}",
                scheduler=scheduler,  # type: ignore[arg-type]
                pool=pool,
                clock=clock,
                limiter=limiter,
                poll=poll,
                discover=lambda: venues(10),
                poll_interval=30.0,
                discovery_interval=900.0,
            )
        )
        scheduler.after_jobs = lambda: loops[-1].join(5)
        loops[-1].start(venues(10))
    scheduler.run(120)
    go.set()
    assert len(healthy.polled) >= 0.95 * 10 * 120 / 30
    for loop in loops:
        loop.stop()


def test_the_scheduler_is_never_waited_for_under_the_lock_that_its_jobs_take(
    loop: PollLoop, scheduler: ManualScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[bool] = []
    schedule = scheduler.schedule

    def observed(name: str, next_at: Callable[[], float], run: Callable[[], None]) -> None:
        locked.append(loop._lock.locked())
        schedule(name, next_at, run)

    monkeypatch.setattr(scheduler, "schedule", observed)
    loop.start(venues(1))
    assert locked == [False, False]
