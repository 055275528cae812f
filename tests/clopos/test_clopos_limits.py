from __future__ import annotations

import itertools
from threading import Event

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from exporter.clopos.limits import BrandQuota, IpLimits, RateLimiter, RetryBudget
from exporter.errors import CloposError, Stopped
from exporter.model import Reason
from exporter.simulator.limits import Tiers, Window

FOREVER = float("inf")


@pytest.fixture
def stop() -> Event:
    return Event()


def starts(limiter: RateLimiter, clock: FakeClock, count: int) -> list[float]:
    """Give when so many requests in a row may start, seconds after the first was asked for."""
    began, found = clock.monotonic(), []
    for _ in range(count):
        limiter.acquire(FOREVER)
        found.append(clock.monotonic() - began)
    return found


# RateLimiter


def test_moments_lie_at_even_distances(clock: FakeClock, stop: Event) -> None:
    assert starts(RateLimiter(240, clock, stop), clock, 5) == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_burst_comes_first_where_it_is_allowed(clock: FakeClock, stop: Event) -> None:
    assert starts(RateLimiter(60, clock, stop, burst=3), clock, 5) == pytest.approx([0.0, 0.0, 0.0, 1.0, 2.0])


def test_a_pause_is_not_saved_up(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop)
    starts(limiter, clock, 1)
    clock.forward(600)
    assert starts(limiter, clock, 3) == pytest.approx([0.0, 1.0, 2.0])


def test_nothing_starts_while_it_is_held_and_no_burst_follows(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop)
    limiter.hold(30)
    assert limiter.next_at() == clock.monotonic() + 30
    assert starts(limiter, clock, 3) == pytest.approx([30.0, 31.0, 32.0])


def test_a_shorter_hold_does_not_shorten_a_longer_one(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop)
    limiter.hold(30)
    limiter.hold(5)
    assert starts(limiter, clock, 1) == [30.0]


def test_a_hold_that_comes_while_somebody_waits_holds_them_too(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop)
    starts(limiter, clock, 1)
    wait = clock.wait

    def interrupted(event: Event, seconds: float) -> bool:
        clock.wait = wait  # type: ignore[method-assign]
        limiter.hold(10)
        return wait(event, seconds)

    clock.wait = interrupted  # type: ignore[method-assign]
    assert starts(limiter, clock, 1) == [10.0]


def test_a_moment_behind_the_deadline_is_refused_at_once_and_costs_nobody_else_theirs(
    clock: FakeClock, stop: Event
) -> None:
    limiter = RateLimiter(60, clock, stop)
    starts(limiter, clock, 1)
    with pytest.raises(CloposError) as caught:
        limiter.acquire(clock.monotonic() + 0.5)
    assert caught.value.reason is Reason.THROTTLED
    assert clock.waited == [0.0]
    assert starts(limiter, clock, 1) == [1.0]


def test_the_end_of_the_process_ends_the_wait(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop)
    stop.set()
    with pytest.raises(Stopped):
        limiter.acquire(FOREVER)


def test_what_was_spent_without_asking_counts(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop, burst=2)
    limiter.spend()
    assert starts(limiter, clock, 2) == pytest.approx([0.0, 1.0])


@given(
    per_minute=st.integers(1, 300),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 90), min_size=1, max_size=40),
)
def test_no_minute_ever_holds_more_than_the_pace_and_its_burst(
    per_minute: int, burst: int, pauses: list[float]
) -> None:
    clock = FakeClock()
    limiter = RateLimiter(per_minute, clock, Event(), burst=burst)
    taken = []
    for pause in pauses:
        clock.forward(pause)
        limiter.acquire(FOREVER)
        taken.append(clock.monotonic())
    for first, later in itertools.pairwise(range(0, len(taken), per_minute + burst)):
        assert taken[later] - taken[first] >= 60 - 1e-6


# BrandQuota


def test_a_plentiful_quota_leaves_the_pace_as_configured(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(300, 200, 30)
    assert quota.spacing == pytest.approx(0.25)
    assert quota.per_second == pytest.approx(4.0)
    assert (quota.limit, quota.remaining) == (300, 200)


def test_the_pace_falls_with_what_remains_before_it_is_used_up(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    paces = []
    for remaining in (30, 24, 18, 12, 7):
        quota.update(300, remaining, 30)
        paces.append(quota.per_minute)
    assert paces == sorted(paces, reverse=True)
    assert paces[0] == pytest.approx(240)
    assert paces[-1] < 24


def test_below_the_floor_nothing_starts_until_the_api_promises_relief(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(300, 6, 20)
    assert quota.next_at() == clock.monotonic() + 20
    assert starts(quota, clock, 1) == [20.0]


def test_a_reset_longer_than_the_window_is_not_believed(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(300, 0, 10_000)
    assert quota.next_at() == clock.monotonic() + 60


def test_the_pace_recovers_by_itself_when_others_leave(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    for _ in range(100):
        clock.forward(1)
        quota.update(300, 12, 30)
    assert quota.per_second < 2.0
    for _ in range(300):
        clock.forward(1)
        quota.update(300, 200, 30)
    assert quota.per_minute == pytest.approx(240)
    assert quota.per_second == pytest.approx(4.0, rel=0.01)


def test_one_odd_answer_does_not_move_the_rate_that_can_be_counted_on(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    clock.forward(0.25)
    quota.update(300, 7, 30)
    assert quota.per_second > 3.9


def test_a_429_holds_for_as_long_as_it_says(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.rate_limited(45)
    assert quota.remaining == 0
    assert starts(quota, clock, 1) == [45.0]


@pytest.mark.parametrize("share", [240, 300])
@pytest.mark.parametrize("foreign", [0, 60, 150])
def test_beside_another_client_no_request_is_refused_and_most_of_the_rest_is_used(
    clock: FakeClock, stop: Event, share: int, foreign: int
) -> None:
    quota = BrandQuota(share, clock, stop)
    window = Window(Tiers().brand)
    window.set_load(foreign, clock.monotonic())
    began, taken, refused = clock.monotonic(), 0, 0
    while clock.monotonic() < began + 900:
        quota.acquire(FOREVER)
        now = clock.monotonic()
        if window.admits(now):
            window.add(now)
            taken += now >= began + 300
        else:
            refused += 1
        limit, remaining, reset = window.quota(now)
        quota.update(limit, remaining, reset)
    assert refused == 0
    room = min(share, 300 - foreign)
    assert taken / 10 >= 0.7 * room


# What all brands share


def test_logins_of_many_brands_stay_under_sixty_a_minute_and_begin_at_once(clock: FakeClock, stop: Event) -> None:
    logins = starts(IpLimits(clock, stop).logins, clock, 200)
    assert logins[9] == pytest.approx(0.0)
    for first, later in zip(logins, logins[60:], strict=False):
        assert later - first >= 60.0


def test_failures_stay_under_six_hundred_a_minute(clock: FakeClock, stop: Event) -> None:
    failures = starts(IpLimits(clock, stop).failures, clock, 1300)
    for first, later in zip(failures, failures[600:], strict=False):
        assert later - first >= 60.0


def test_repetitions_are_earned_by_successes() -> None:
    budget = RetryBudget(ratio=0.5, most=2.0)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.succeeded()
    assert not budget.spend()
    budget.succeeded()
    assert budget.spend()
    for _ in range(99):
        budget.succeeded()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
