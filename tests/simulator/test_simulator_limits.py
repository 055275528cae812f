from __future__ import annotations

from fakes import FakeClock

from exporter.simulator.limits import Limits, Tiers


def allowed(limits: Limits, times: int, brand: str = "a", ip: str = "10.0.0.1") -> int:
    return sum(limits.acquire(ip, brand) is None for _ in range(times))


def test_a_brand_has_300_requests_a_minute_and_other_brands_their_own(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers())
    assert allowed(limits, 301) == 300
    assert allowed(limits, 1, brand="b") == 1


def test_more_addresses_do_not_multiply_a_brands_quota(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(brand=10))
    assert allowed(limits, 10) + allowed(limits, 1, ip="10.0.0.2") == 10


def test_the_window_slides_and_a_full_one_admits_again_when_reset_says(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(brand=2))
    allowed(limits, 1)
    clock.forward(20.5)
    allowed(limits, 1)
    exceeded = limits.acquire("10.0.0.1", "a")
    assert exceeded == (2, 0, 40)
    clock.forward(39)
    assert allowed(limits, 1) == 0
    clock.forward(1)
    assert allowed(limits, 2) == 1, "only the first request has left the window"


def test_headers_show_the_tier_that_is_nearest_its_end(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(failures=5, brand=10))
    allowed(limits, 1)
    assert limits.record("10.0.0.1", "a", 200) == (5, 5, 0)
    for _ in range(3):
        limits.record("10.0.0.1", "a", 500)
    assert limits.record("10.0.0.1", "a", 200) == (5, 2, 60)


def test_failures_of_one_address_stop_it_for_every_brand(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(failures=3))
    for _ in range(3):
        limits.record("10.0.0.1", "a", 404)
    assert allowed(limits, 1, brand="b") == 0
    assert allowed(limits, 1, brand="b", ip="10.0.0.2") == 1


def test_hammering_a_full_failure_window_keeps_it_full(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(failures=3))
    for _ in range(6):
        clock.forward(30)
        limits.record("10.0.0.1", "a", 429)
        limits.record("10.0.0.1", "a", 429)
    assert allowed(limits, 1) == 0


def test_logins_are_counted_per_address(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(logins=2))
    quotas = [limits.acquire_login("10.0.0.1") for _ in range(3)]
    assert quotas == [None, None, (2, 0, 60)]
    assert limits.acquire_login("10.0.0.2") is None


def test_another_client_eats_its_share_evenly(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(brand=300))
    limits.set_load("a", 150)
    clock.forward(60)
    assert allowed(limits, 300) == 150
    limits.set_load("a", 0)
    clock.forward(60)
    assert allowed(limits, 301) == 300


def test_another_client_is_refused_like_everybody_when_the_window_is_full(clock: FakeClock) -> None:
    limits = Limits(clock, Tiers(brand=10))
    limits.set_load("a", 600)
    clock.forward(3600)
    quota = limits.record("10.0.0.1", "a", 200)
    assert quota is not None
    assert quota.remaining <= 1, "what leaves the window is taken at once"


def test_without_tiers_everything_is_admitted_and_nothing_is_said(clock: FakeClock) -> None:
    limits = Limits(clock, None)
    limits.set_load("a", 1e6)
    assert allowed(limits, 1000) == 1000
    assert limits.acquire_login("10.0.0.1") is None
    assert limits.record("10.0.0.1", "a", 200) is None
