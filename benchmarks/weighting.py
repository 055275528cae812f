"""Weighted polling against even polling: how soon a change is seen, over a simulated day of a restaurant chain.

The round robin, the rate limiter and the simulator's limits are the real ones; only time is simulated, so that a day
takes seconds. The even run is the same without weights. A delay is that from a moment to the end of the next poll of
the venue; its mean over an hour is exact, as that of a change at any moment of it in any venue that is open then.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log, sqrt
from random import Random
from threading import Event

from benchmarks.figures import Figure
from benchmarks.measuring import percentile
from exporter.changes import advance
from exporter.clock import Clock
from exporter.clopos.limits import BrandQuota
from exporter.hours import Hours, parse
from exporter.model import Incident, IncidentKind, Instant, Kind, Severity, Snapshot, Station, Venue, VenueState
from exporter.scheduling.round_robin import RoundRobin
from exporter.scheduling.weights import LONGEST, weight
from exporter.simulator.limits import Limits, Tiers

VENUES, PER_MINUTE = 300, 240
POLL_INTERVAL, STALE_AFTER = 15.0, 900.0
"""What is advised for a brand of this size, seconds."""
OTHERS = {"the defaults, poll_interval 30s, stale_after 5m": (30.0, 300.0), "stale_after 30m": (15.0, 1800.0)}
"""Settings that are measured beside it: `poll_interval` and `stale_after`, seconds."""
EVEN = VENUES / PER_MINUTE * 60
HOUR, DAY = 3600.0, 86_400.0
MIDNIGHT = 1_800_057_600.0  # 2027-01-16, a Saturday
WARM_UP = 1800.0
TOO_MANY = 429
HISTORY_DAYS = 14
SPREADS = 1.6, 2.7
"""How many times as often a venue changes as the median one, one standard deviation from it."""
SWITCHES_PER_HOUR = 25.0
OFF_SECONDS = 900.0
ALWAYS, LONG, LUNCH_AND_DINNER = "24/7", "Mo-Su 10:00-02:00", "Mo-Su 12:00-15:00,18:00-23:00"
CHAIN = (ALWAYS, LONG, LUNCH_AND_DINNER)


class SimulatedClock(Clock):
    """A clock that jumps to wherever it is sent; waiting takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = -WARM_UP

    def wall(self) -> float:
        """Return epoch seconds."""
        return MIDNIGHT + self.seconds

    def monotonic(self) -> float:
        """Return seconds since midnight."""
        return self.seconds

    def wait(self, event: Event, seconds: float) -> bool:
        """Let the seconds pass at once."""
        self.seconds += max(0.0, seconds)
        return event.is_set()


@dataclass
class Restaurant:
    """A venue: when it is open, when its station is switched, and when it was polled, seconds since midnight."""

    venue: Venue
    hours: Hours
    switches: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    state: VenueState = field(init=False)

    def __post_init__(self) -> None:
        self.state = VenueState(self.venue)
        self._spans = list(self._open_spans())

    def is_open(self, at: float) -> bool:
        """Return whether the restaurant is open at a moment."""
        return any(begin <= at < end for begin, end in self._spans)

    def poll(self, at: Instant) -> None:
        """Read the station's status, and decide what is known from it."""
        active = bisect_left(self.switches, at.monotonic) % 2 == 0
        self.polls.append(at.monotonic)
        if self.state.stations is None or self.state.stations["1"].status is not active:
            station = Station("1", "Tandir", Kind.KITCHEN, active, printable=True, created_at=None, updated_at=None)
            self.state, _ = advance(self.state, Snapshot((station,), at))
            self.state = VenueState(
                self.venue,
                self.state.stations,
                incidents={} if active else {"1": _incident(self.venue.brand, at.wall)},
            )

    def delays(self, begin: float, end: float) -> tuple[float, float]:
        """Return the sum of the delays over the open moments between two, and for how many seconds it was open."""
        total = seconds = 0.0
        for opened, closed in self._spans:
            since, until = max(begin, opened), min(end, closed)
            while since < until:
                polled = self.next_poll(since)
                upto = min(polled, until)
                total += ((polled - since) ** 2 - (polled - upto) ** 2) / 2
                seconds += upto - since
                since = upto
        return total, seconds

    def next_poll(self, at: float) -> float:
        """Return when the restaurant is polled after a moment."""
        return self.polls[min(bisect_left(self.polls, at + 1e-9), len(self.polls) - 1)]

    def _open_spans(self) -> Iterator[tuple[float, float]]:
        at = 0.0
        while at < DAY:
            opening = self.hours.at(MIDNIGHT + at)
            change = opening.next_close if opening.is_open else opening.next_open
            until = DAY if change is None else min(DAY, change - MIDNIGHT)
            if opening.is_open:
                yield at, until
            at = until


@dataclass
class Run:
    """A day of polls."""

    restaurants: list[Restaurant]
    refused: int = 0

    def mean(self, hours: Sequence[int]) -> float:
        """Return the mean delay in the open restaurants over hours of the day, seconds."""
        sums = [one.delays(hour * HOUR, (hour + 1) * HOUR) for one in self.restaurants for hour in hours]
        return sum(total for total, _ in sums) / sum(seconds for _, seconds in sums)

    def sample(self, moments: Sequence[tuple[int, float]]) -> list[float]:
        """Return the delays at moments in restaurants."""
        return [self.restaurants[number].next_poll(at) - at for number, at in moments]

    def longest_gap(self) -> float:
        """Return the longest time between two polls of a restaurant."""
        return max(
            later - first
            for one in self.restaurants
            for first, later in pairwise([at for at in one.polls if at > -WARM_UP / 2])
        )


def figures() -> Iterator[Figure]:
    """Measure a day of a chain that keeps different hours, and one of restaurants that are all open, each way."""
    random = Random(20270116)  # noqa: S311 - repeatable, not secret
    switches = _switches(random, CHAIN)
    even = _run(CHAIN, switches, weighted=False)
    calm = _run(CHAIN, [[] for _ in range(VENUES)])
    busy = _run(CHAIN, switches)
    alike = _run([ALWAYS], _switches(random, [ALWAYS]))
    even_alike = Run([Restaurant(one.venue, parse(ALWAYS), polls=one.polls) for one in even.restaurants])
    day = range(24)
    partly = [hour for hour in day if _open_share(even, hour) < 1]
    moments = _moments(random, even)

    what = f"{VENUES} venues, {PER_MINUTE} requests a minute"
    yield Figure(f"{what}, even: mean delay", f"{even.mean(day):.1f} s")
    delays = even.sample(moments)
    yield Figure(f"{what}, even: p99 delay", f"{percentile(delays, 99):.1f} s")
    yield Figure(f"{what}, by weight: mean delay", f"{calm.mean(day):.1f} s")
    yield Figure(f"{what}, by weight: p99 delay", f"{percentile(calm.sample(moments), 99):.1f} s")
    some = "hours in which a third or two thirds are closed"
    yield Figure.at_most(f"stale_after 15m: mean delay / even, {some}", calm.mean(partly) / even.mean(partly), 0.65)
    yield Figure.at_most("stale_after 15m: mean delay / even, whole day", calm.mean(day) / even.mean(day), 0.85)
    for what, (poll_interval, stale_after) in OTHERS.items():
        other = _run(CHAIN, [[] for _ in range(VENUES)], poll_interval=poll_interval, stale_after=stale_after)
        bound = min(LONGEST * EVEN, stale_after / 2)
        yield _compared(f"{what}: mean delay / even, {some}", other.mean(partly) / even.mean(partly), 0.65)
        yield _compared(f"{what}: mean delay / even, whole day", other.mean(day) / even.mean(day), 0.85)
        longest = other.longest_gap() / bound
        yield Figure.at_most(f"{what}: longest time between two polls of a venue / its bound", longest, 1.0)
    worst = max(calm.mean([hour]) / even.mean([hour]) for hour in day)
    yield Figure.at_most("mean delay / even, worst hour without incidents", worst, 1.05)
    what = f"{SWITCHES_PER_HOUR:.0f} stations switched an hour"
    worst = max(busy.mean([hour]) / even.mean([hour]) for hour in day)
    yield Figure.at_most(f"{what}: mean delay / even, worst hour", worst, 1.35)
    worst = max(alike.mean([hour]) / even_alike.mean([hour]) for hour in day)
    yield Figure.at_most(f"{what}, all alike: mean delay / even, worst hour", worst, 1.35)
    for name, run in (("", busy), (", all alike", alike)):
        back = [delay for one in run.restaurants for delay in _second_delays(one)]
        limit = 0.35 * EVEN
        yield Figure.at_most(f"{what}{name}: mean delay of the next change", statistics.fmean(back), limit, "{:.1f} s")
        yield Figure.at_most(f"{what}{name}: p99 delay of the next change", percentile(back, 99), limit, "{:.1f} s")
        pairs = zip(run.restaurants, even.restaurants, strict=True)
        before = [delay for one, without in pairs for delay in _all(one, without)]
        yield Figure(
            f"{what}{name}: switched on to all-clear, p50 and p99, even {percentile(before, 50):.1f} and "
            f"{percentile(before, 99):.1f} s",
            f"{percentile(back, 50):.1f} and {percentile(back, 99):.1f} s",
        )
    bound = min(LONGEST * EVEN, STALE_AFTER / 2)
    longest = max(run.longest_gap() for run in (calm, busy, alike))
    yield Figure.at_most("longest time between two polls of a venue / its bound", longest / bound, 1.0)
    refused = sum(run.refused for run in (even, calm, busy, alike))
    yield Figure.at_most("refused (429)", refused, 0, "{:.0f}")
    for spread in SPREADS:
        what = f"not done: {HISTORY_DAYS} days of own history as a weight, venues' rates differ {spread:.1f} times"
        yield Figure(f"{what}: mean delay / without", f"{_with_history(random, spread):.2f}")


def _compared(what: str, ratio: float, limit: float) -> Figure:
    """Make a figure of settings that need not reach a limit, and say whether they do."""
    return Figure(what, f"{ratio:.2f}", f"(≤ {limit:.2f}: {'yes' if ratio <= limit else 'no'})")


def _with_history(random: Random, spread: float) -> float:
    """Return the mean delay where each venue's weight follows from how often it changed, of that without.

    The rates are log-normal around that of the other figures, of which the history is a sample, smoothed by a week of
    the mean. All are open, and polled as often as the weights say.
    """
    mean = SWITCHES_PER_HOUR * 24 / VENUES
    sigma = log(spread)
    rates = [mean * random.lognormvariate(-(sigma**2) / 2, sigma) for _ in range(VENUES)]
    seen = [sum(random.random() < rate / 240 for _ in range(240 * HISTORY_DAYS)) for rate in rates]
    smoothed = [(changes + 7 * mean) / (HISTORY_DAYS + 7) for changes in seen]
    # The best poll rates are in proportion to the root of the rate of changes; `intervals` caps what is above OPEN.
    factors = [sqrt(rate / mean) for rate in smoothed]
    polls = [factor * VENUES / sum(factors) / EVEN for factor in factors]
    return sum(rate / poll for rate, poll in zip(rates, polls, strict=True)) / (sum(rates) * EVEN)


def _run(
    expressions: Sequence[str],
    switches: Sequence[list[float]],
    *,
    weighted: bool = True,
    poll_interval: float = POLL_INTERVAL,
    stale_after: float = STALE_AFTER,
) -> Run:
    """Poll for a day and an hour, and let Clopos answer at once."""
    clock = SimulatedClock()
    quota, limits = BrandQuota(PER_MINUTE, clock, Event()), Limits(clock, Tiers())
    rounds = RoundRobin(clock, quota, poll_interval, stale_after=stale_after)
    hours: list[Callable[[], Hours]] = [lambda text=text: parse(text) for text in expressions]  # type: ignore[misc]
    run = Run(
        [
            Restaurant(Venue("chain", str(number), ""), hours[number % len(hours)](), switches[number])
            for number in range(VENUES)
        ]
    )
    rounds.set_venues(one.venue for one in run.restaurants)
    while clock.seconds < DAY + 2 * LONGEST * EVEN:
        clock.seconds = max(clock.seconds, rounds.next_at())
        venue = rounds.take()
        if venue is None:
            continue
        quota.acquire(float("inf"))
        exceeded = limits.acquire("127.0.0.1", "chain")
        headers = limits.record("127.0.0.1", "chain", TOO_MANY if exceeded else 200)
        if exceeded is not None:
            run.refused += 1
            quota.rate_limited(exceeded.reset)
            rounds.done(venue)
            continue
        if headers is not None:
            quota.update(*headers)
        restaurant = run.restaurants[int(venue.id)]
        now = clock.now()
        restaurant.poll(now)
        if weighted:
            rounds.set_weight(venue.id, weight(restaurant.state, restaurant.hours.at(now.wall), now.wall))
        rounds.done(venue, 1)
    return run


def _switches(random: Random, expressions: Sequence[str]) -> list[list[float]]:
    """Return when the station of each restaurant is switched off and on again: at any time that it is open."""
    days: list[list[float]] = []
    for number in range(VENUES):
        restaurant = Restaurant(Venue("chain", str(number), ""), parse(expressions[number % len(expressions)]))
        times: list[float] = []
        at = random.expovariate(SWITCHES_PER_HOUR / VENUES / HOUR)
        while at < DAY - HOUR:
            back = at + 60 + random.expovariate(1 / OFF_SECONDS)
            if restaurant.is_open(at) and restaurant.is_open(back):
                times += [at, back]
            at = back + random.expovariate(SWITCHES_PER_HOUR / VENUES / HOUR)
        days.append(times)
    return days


def _moments(random: Random, run: Run) -> list[tuple[int, float]]:
    drawn = [(random.randrange(VENUES), random.uniform(0, DAY)) for _ in range(100_000)]
    return [(number, at) for number, at in drawn if run.restaurants[number].is_open(at)]


def _second_delays(restaurant: Restaurant) -> list[float]:
    """Return the delays of the changes back, where the change before was seen by then."""
    pairs = zip(restaurant.switches[::2], restaurant.switches[1::2], strict=True)
    return [restaurant.next_poll(on) - on for off, on in pairs if restaurant.next_poll(off) < on]


def _all(restaurant: Restaurant, even: Restaurant) -> list[float]:
    """Return the delays of the same changes where polls are even."""
    return [even.next_poll(on) - on for on in restaurant.switches[1::2]]


def _open_share(run: Run, hour: int) -> float:
    middle = (hour + 0.5) * HOUR
    return sum(one.is_open(middle) for one in run.restaurants) / VENUES


def _incident(brand: str, wall: float) -> Incident:
    return Incident(IncidentKind.KITCHEN_STATION_INACTIVE, Severity.CRITICAL, brand, wall)
