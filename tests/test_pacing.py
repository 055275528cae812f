"""Round robin, quota and the limits of the simulated Clopos together, on a clock that nobody waits for."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from threading import Event

import pytest
from fakes import FakeClock

from exporter.clopos.limits import BrandQuota
from exporter.model import Venue
from exporter.scheduling.round_robin import RoundRobin
from exporter.simulator.limits import Limits, Tiers

BRAND, IP = "openapitest", "127.0.0.1"
NEVER = float("inf")


class Exporter:
    """One process that watches so many venues of the brand with its share of the quota."""

    def __init__(self, clock: FakeClock, limits: Limits, *, venues: int, share: float) -> None:
        self.quota = BrandQuota(share, clock, Event())
        self.rounds = RoundRobin(clock, self.quota, 30.0)
        self.rounds.set_venues([Venue(BRAND, str(number), f"Venue {number}") for number in range(venues)])
        self.polls: dict[str, list[float]] = defaultdict(list)
        self.refused = 0
        self._clock, self._limits = clock, limits

    def poll(self) -> None:
        """Take the next slot, and let Clopos answer at once."""
        self._clock.forward(self.rounds.next_at() - self._clock.monotonic())
        venue = self.rounds.take()
        assert venue is not None
        self.quota.acquire(NEVER)
        self.polls[venue.id].append(self._clock.monotonic())
        exceeded = self._limits.acquire(IP, BRAND)
        headers = self._limits.record(IP, BRAND, 429 if exceeded else 200)
        assert headers is not None
        if exceeded is not None:
            self.refused += 1
            self.quota.rate_limited(exceeded.reset)
        else:
            self.quota.update(*headers)
        self.rounds.done(venue, 1)

    def per_minute(self, since: float, until: float) -> float:
        """Return how many polls a minute there were between two monotonic times."""
        return sum(since <= at < until for times in self.polls.values() for at in times) / (until - since) * 60

    def gaps(self, since: float) -> list[float]:
        """Return the seconds between polls of the same venue."""
        return [b - a for times in self.polls.values() for a, b in pairwise(at for at in times if at >= since)]


class Fleet:
    """Processes that share the quota of a brand."""

    def __init__(self, *shares: float) -> None:
        self.clock = FakeClock()
        self.limits = Limits(self.clock, Tiers())
        self.exporters = [Exporter(self.clock, self.limits, venues=300, share=share) for share in shares]

    def run(self, minutes: float) -> float:
        """Let so many minutes pass and return the monotonic time at which they began."""
        since = self.clock.monotonic()
        while self.clock.monotonic() < since + minutes * 60:
            min(self.exporters, key=lambda exporter: exporter.rounds.next_at()).poll()
        return since

    @property
    def refused(self) -> int:
        return sum(exporter.refused for exporter in self.exporters)


@pytest.mark.parametrize("share", [60, 240, 270])
def test_every_venue_is_polled_as_often_as_the_share_allows_and_never_refused(share: float) -> None:
    fleet = Fleet(share)
    (exporter,) = fleet.exporters
    since = fleet.run(30)
    ideal = 300 / share * 60
    assert max(exporter.gaps(since)) <= 1.05 * ideal
    assert fleet.refused == 0


def test_a_share_of_the_whole_quota_stops_short_of_its_end() -> None:
    fleet = Fleet(300)
    since = fleet.run(30)
    assert fleet.exporters[0].per_minute(since + 600, since + 1800) > 260
    assert fleet.refused == 0


@pytest.mark.parametrize(("load", "left"), [(75, 225), (150, 150), (200, 100), (240, 60)])
def test_what_another_client_takes_is_left_to_it_and_taken_back_when_it_goes(load: float, left: float) -> None:
    fleet = Fleet(240)
    (exporter,) = fleet.exporters
    fleet.run(10)
    fleet.limits.set_load(BRAND, load)
    since = fleet.run(10)
    assert 0.7 * left < exporter.per_minute(since + 300, since + 600) < left
    fleet.limits.set_load(BRAND, 0)
    since = fleet.run(6)
    assert exporter.per_minute(since + 240, since + 360) > 0.97 * 240 / 1.02
    assert fleet.refused == 0


def test_nobody_waits_twice_the_interval_while_another_client_comes_and_goes() -> None:
    fleet = Fleet(240)
    since = fleet.run(5)
    fleet.limits.set_load(BRAND, 150)
    fleet.run(10)
    longest = fleet.exporters[0].rounds.interval
    fleet.limits.set_load(BRAND, 0)
    fleet.run(5)
    assert max(fleet.exporters[0].gaps(since)) < 2 * longest


def test_two_processes_that_do_not_know_of_each_other_share_the_quota_alike() -> None:
    fleet = Fleet(240, 240)
    since = fleet.run(20)
    first, second = (exporter.per_minute(since + 600, since + 1200) for exporter in fleet.exporters)
    assert first + second > 230
    assert first == pytest.approx(second, rel=0.1)
    assert fleet.refused == 0


def test_a_second_process_that_starts_later_gets_as_much() -> None:
    fleet = Fleet(240)
    fleet.run(10)
    fleet.exporters.append(Exporter(fleet.clock, fleet.limits, venues=300, share=240))
    since = fleet.run(20)
    first, second = (exporter.per_minute(since + 600, since + 1200) for exporter in fleet.exporters)
    assert first == pytest.approx(second, rel=0.25)
    assert fleet.refused == 0


@pytest.mark.parametrize("cause", ["refused", "hung"])
def test_no_burst_follows_a_minute_without_polls(cause: str) -> None:
    fleet = Fleet(240)
    (exporter,) = fleet.exporters
    fleet.run(5)
    if cause == "refused":
        exporter.quota.rate_limited(60.0)
    else:
        fleet.clock.forward(60.0)
    since = fleet.clock.monotonic()
    fleet.run(5)
    times = sorted(at for polls in exporter.polls.values() for at in polls if at >= since)
    assert all(later - first > 2.2 for first, later in zip(times, times[10:], strict=False))
    assert max(exporter.gaps(0)) < 2 * 75
