from __future__ import annotations

import itertools
from threading import Event

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from exporter.clopos.limits import MAX_DOUBT, BrandQuota, FailureBudget, IpLimits, RateLimiter, RetryBudget
from exporter.errors import CloposError, Stopped
from exporter.model import Reason
from exporter.simulator.limits import Tiers, Window

FOREVER = float("inf")


@pytest.fixture
def stop() -> Event:
    return Event()


def starts(limiter: RateLimiter, clock: FakeClock, count: int) -> list[float]:
    """Return when so many requests in a row may start, seconds after the first was asked for."""
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


def test_a_moment_is_taken_without_waiting_where_one_is_free(clock: FakeClock, stop: Event) -> None:
    limiter = RateLimiter(60, clock, stop, burst=2)
    assert [limiter.try_acquire() for _ in range(3)] == [True, True, False]
    clock.forward(1)
    assert [limiter.try_acquire() for _ in range(2)] == [True, False]
    limiter.hold(5)
    clock.forward(4)
    assert not limiter.try_acquire()
    limiter.lift()
    assert limiter.try_acquire()


@pytest.mark.parametrize("late", [0.0, 0.2, 5.0])
def test_what_is_not_sent_says_why_and_for_how_long(clock: FakeClock, stop: Event, late: float) -> None:
    limiter = RateLimiter(60, clock, stop)
    limiter.acquire(FOREVER)
    with pytest.raises(CloposError) as caught:
        limiter.acquire(clock.monotonic() - late)
    assert caught.value.message == "not asked: our own rate limit has no room for another 1 s"
    limiter.hold(48.2)
    with pytest.raises(CloposError) as caught:
        limiter.acquire(clock.monotonic() + 30)
    assert caught.value.message == "not asked: Clopos wants no request for another 49 s"


@given(
    per_minute=st.integers(1, 300),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 90), min_size=1, max_size=40),
)
def test_no_minute_ever_holds_more_than_the_rate_and_its_burst(
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


def test_a_plentiful_quota_leaves_the_rate_as_configured(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(300, 200, 30)
    assert quota.spacing == pytest.approx(0.25)
    assert quota.per_second == pytest.approx(4.0)
    assert (quota.limit, quota.remaining) == (300, 200)


def test_the_first_requests_wait_for_nothing_while_the_window_is_empty(clock: FakeClock, stop: Event) -> None:
    quota, began = BrandQuota(240, clock, stop), clock.monotonic()
    for used in range(1, 5):
        quota.acquire(began + 60)
        quota.update(300, 300 - used, 60)
    assert clock.monotonic() - began == pytest.approx(0.0)
    quota.acquire(began + 60)
    assert clock.monotonic() - began == pytest.approx(0.25)


def test_the_first_requests_wait_where_others_use_the_window(clock: FakeClock, stop: Event) -> None:
    quota, began = BrandQuota(240, clock, stop), clock.monotonic()
    for used in range(1, 4):
        quota.acquire(began + 60)
        quota.update(300, 200 - used, 60)
    assert clock.monotonic() - began == pytest.approx(0.25)


def test_the_rate_falls_with_what_remains_before_it_is_used_up(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    rates = []
    for remaining in (30, 24, 18, 12, 7):
        quota.update(300, remaining, 30)
        rates.append(quota.per_minute)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(240)
    assert rates[-1] < 24


def test_below_the_floor_nothing_starts_until_the_api_promises_relief(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(300, 6, 20)
    assert quota.next_at() == clock.monotonic() + 20
    assert starts(quota, clock, 1) == [20.0]


def test_a_reset_longer_than_the_window_is_not_believed(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(300, 0, 10_000)
    assert quota.next_at() == clock.monotonic() + MAX_DOUBT


def test_the_rate_recovers_by_itself_when_others_leave(clock: FakeClock, stop: Event) -> None:
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


ODD = {
    "nothing remains for ever": (300, 0, 60.0),
    "nothing remains, and the reset is far": (300, 0, 10.0**9),
    "nothing remains, and the reset is now": (300, 0, 0.0),
    "little remains for ever": (300, 7, 30.0),
    "a limit of one": (1, 0, 60.0),
    "a limit of one that is never used": (1, 1, 60.0),
    "a limit without end": (10**9, 10**9 - 1, 60.0),
    "a limit without end of which little remains": (10**9, 100, 60.0),
}


@pytest.mark.parametrize("headers", ODD.values(), ids=ODD)
def test_odd_headers_of_good_responses_leave_a_quarter_of_the_share(
    clock: FakeClock, stop: Event, headers: tuple[int, int, float]
) -> None:
    quota = BrandQuota(240, clock, stop)
    times = []
    while clock.monotonic() < 7_000 + 900:
        quota.acquire(FOREVER)
        times.append(clock.monotonic())
        quota.update(*headers)
    assert max(later - first for first, later in itertools.pairwise(times)) <= MAX_DOUBT + 1
    late = [at for at in times if at >= 7_000 + 60]
    assert len(late) >= 0.99 * 14 * 60


def test_a_plentiful_rest_of_a_limit_without_end_leaves_the_rate(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    quota.update(10**9, 300, 60)
    assert quota.per_minute == 240


def test_a_reset_by_hand_lifts_everything(clock: FakeClock, stop: Event) -> None:
    quota = BrandQuota(240, clock, stop)
    for _ in range(50):
        clock.forward(1)
        quota.update(300, 0, 60)
    quota.rate_limited(300)
    quota.reset()
    assert starts(quota, clock, 1) == [0.0]
    assert (quota.per_minute, quota.per_second) == (240, 4.0)


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
        if window.has_capacity(now):
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


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_logins_of_all_processes_at_one_address_stay_under_sixty_a_minute(stop: Event, processes: int) -> None:
    together: list[float] = []
    for _ in range(processes):
        clock = FakeClock()
        limits = IpLimits(clock, stop)
        limits.divide(processes)
        together += starts(limits.logins, clock, 200)
    together.sort()
    for first, later in zip(together, together[60:], strict=False):
        assert later - first >= 60.0


def test_a_process_more_takes_its_part_of_the_limits_from_the_others(clock: FakeClock, stop: Event) -> None:
    limits = IpLimits(clock, stop)
    limits.divide(2)
    assert starts(limits.logins, clock, 10)[-1] == pytest.approx(5 * 3.0)
    assert limits.failures_per_second == pytest.approx(2.5)
    limits.divide(1)
    assert limits.failures_per_second == pytest.approx(5.0)


def fail(budget: FailureBudget, clock: FakeClock, seconds: float = 0.0) -> bool:
    """Let a request fail if it may be sent within so many seconds, and return whether it was."""
    try:
        budget.reserve(clock.monotonic() + seconds)
    except CloposError:
        return False
    budget.release(failed=True)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("brands", [1, 8, 45])
def test_failures_of_all_brands_stay_under_six_hundred_a_minute(clock: FakeClock, stop: Event, brands: int) -> None:
    limits = IpLimits(clock, stop)
    budgets = [limits.failure_budget(f"brand-{number}") for number in range(brands)]
    failures: list[float] = []
    while clock.monotonic() < 7_000 + 300:
        failures += [clock.monotonic() for budget in budgets if fail(budget, clock)]
        clock.forward(0.1)
    for first, later in zip(failures, failures[600:], strict=False):
        assert later - first >= 60.0
    assert sum(at >= 7_000 + 240 for at in failures) >= 280, "the budget is used"


def test_failing_brands_get_equal_parts(clock: FakeClock, stop: Event) -> None:
    limits = IpLimits(clock, stop)
    counts = dict.fromkeys("abcdefgh", 0)
    while clock.monotonic() < 7_000 + 600:
        for brand in counts:
            counts[brand] += fail(limits.failure_budget(brand), clock)
        clock.forward(0.2)
    assert max(counts.values()) <= 1.1 * min(counts.values())


def test_brands_that_fail_do_not_hold_back_one_that_works(clock: FakeClock, stop: Event) -> None:
    limits = IpLimits(clock, stop)
    good = limits.failure_budget("good")
    for second in range(600):
        for brand in "abcdefgh":
            while fail(limits.failure_budget(brand), clock):
                pass
        for _ in range(16):  # side by side, as many as there are workers
            good.reserve(clock.monotonic())
        for number in range(16):
            good.release(failed=second % 20 == 0 and number == 0)
        clock.forward(61 if second % 20 == 0 else 1)


def test_a_brand_that_works_again_is_not_held_back_by_its_past(clock: FakeClock, stop: Event) -> None:
    limits = IpLimits(clock, stop)
    for _ in range(300):
        for brand in "abcdefgh":
            fail(limits.failure_budget(brand), clock)
        clock.forward(0.25)
    budget, began = limits.failure_budget("a"), clock.monotonic()
    for _ in range(40):
        budget.reserve(FOREVER)
        budget.release(failed=False)
    assert clock.monotonic() - began < 5


def test_a_reservation_is_given_back(clock: FakeClock, stop: Event) -> None:
    budget = IpLimits(clock, stop).failure_budget("a")
    while fail(budget, clock):
        pass
    clock.forward(0.3)
    for _ in range(1000):
        budget.reserve(clock.monotonic())
        budget.release(failed=False)


def test_the_end_of_the_process_ends_the_wait_for_a_reservation(clock: FakeClock, stop: Event) -> None:
    budget = IpLimits(clock, stop).failure_budget("a")
    while fail(budget, clock):
        pass
    stop.set()
    with pytest.raises(Stopped):
        budget.reserve(FOREVER)


def test_a_brand_keeps_its_budget_when_it_is_connected_anew(clock: FakeClock, stop: Event) -> None:
    limits = IpLimits(clock, stop)
    assert limits.failure_budget("a") is limits.failure_budget("a")


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
