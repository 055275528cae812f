"""Polling within the quota: as fresh as it allows, even, fair, and never refused."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.fleet import QUOTA_MINUTE, Fleet, fleet, most_within
from benchmarks.measuring import percentile
from exporter.journal import JournalQuery
from exporter.model import Event
from exporter.simulator import Fault

SPEED = 10.0
"""How much faster than outside the clock runs; with more, the machine's own hesitation would be what is measured."""

CHANGES = 600.0
"""Stations switched a minute: enough that after two rounds every venue has changed lately and all weigh the same."""

VENUES, SHARE = 300, 240
IDEAL = VENUES / SHARE * 60
TOO_MANY = 429
_STATUS = {Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED}


def figures() -> Iterator[Figure]:
    """Measure at a scaled clock: a brand at the limit, and many brands at their start."""
    with fleet(venues=VENUES, speed=SPEED, changes_per_minute=CHANGES) as brand:
        yield from _calm(brand, seconds=230)
        yield from _shared(brand, seconds=240)
        yield from _hanging(brand, seconds=60)
    yield from _many_logins()
    yield from _many_failures()


def real_time_figures() -> Iterator[Figure]:
    """Measure a brand at the limit without scaling anything: six minutes."""
    with fleet(venues=VENUES, speed=1.0, changes_per_minute=CHANGES) as brand:
        yield from _calm(brand, seconds=160)


def _calm(brand: Fleet, seconds: float) -> Iterator[Figure]:
    brand.wait(2.7 * IDEAL)  # until all weigh the same
    since = brand.clock.wall()
    brand.wait(seconds)
    gaps = brand.gaps(since)
    what = f"{VENUES} venues, {SHARE} requests a minute"
    yield Figure(f"{what}: median interval of a venue, ideally {IDEAL:.0f} s", f"{statistics.median(gaps):.1f} s")
    yield Figure.at_most(f"{what}: longest interval / ideal", max(gaps) / IDEAL, 1.05)
    yield _refused(f"{what}: refused (429)", brand)
    interval = brand.daemon.source.brands()[0].interval or 0.0
    delays = _delays(brand, since)
    request = max(state.last_duration or 0.0 for state in brand.daemon.store.venues())
    name = f"a change in Clopos is logged, p99 of {len(delays)}, within interval and request"
    yield Figure.at_most(name, percentile(delays, 99), interval + request, "{:.1f} s")


def _shared(brand: Fleet, seconds: float) -> Iterator[Figure]:
    """Let somebody else take half of the quota at once, and leave again."""
    slug = brand.simulator.world.brands[0]
    since = brand.clock.wall()
    brand.simulator.limits.set_load(slug, 150)
    brand.wait(seconds)
    until = brand.clock.wall()
    interval = brand.daemon.source.brands()[0].interval or 0.0
    brand.simulator.limits.set_load(slug, 0)
    what = "another client takes 150 of 300"
    yield _refused(f"{what}: refused (429)", brand, since)
    ours = len(brand.requests(since=until - 2 * QUOTA_MINUTE, until=until)) / 2
    yield Figure.at_least(f"{what}: our requests a minute, of 150 that are left", ours, 120, "{:.0f}")
    gaps = brand.gaps(since, until)
    yield Figure.at_most(f"{what}: longest interval / in force ({interval:.0f} s)", max(gaps) / interval, 2.0)
    brand.wait(3 * QUOTA_MINUTE)
    back = len(brand.requests(since=brand.clock.wall() - QUOTA_MINUTE))
    yield Figure.at_least("three minutes after it left: our requests a minute", back, 0.95 * SHARE, "{:.0f}")


def _hanging(brand: Fleet, seconds: float) -> Iterator[Figure]:
    """Let every answer take ten seconds for a while."""
    since = brand.clock.wall()
    brand.simulator.faults.add(Fault.parse("latency,seconds=10"))
    brand.wait(seconds)
    brand.simulator.faults.clear()
    brand.wait(2 * IDEAL)
    gaps = brand.gaps(since)
    what = f"every answer takes 10 s for {seconds:.0f} s"
    yield Figure.at_most(f"{what}: longest interval / ideal", max(gaps) / IDEAL, 2.0)
    most = most_within([entry.at for entry in brand.requests(since=since)], 10.0)
    yield Figure.at_most(f"{what}: most requests within 10 s, evenly {SHARE / 6:.0f}", most, SHARE / 6 + 2, "{:.0f}")
    yield _refused(f"{what}: refused (429)", brand, since)


def _many_logins() -> Iterator[Figure]:
    with fleet(brands=100, venues=1, speed=2 * SPEED) as brands:
        brands.wait(170)
        logins = brands.requests("auth")
        most = most_within([entry.at for entry in logins], QUOTA_MINUTE)
    yield Figure.at_most("100 brands start: most logins within a minute", most, 60, "{:.0f}")
    done = sum(entry.code == 200 for entry in logins)  # noqa: PLR2004 - the HTTP status
    yield Figure.at_least("100 brands start: logged in after 170 s", done, 100, "{:.0f}")


def _many_failures() -> Iterator[Figure]:
    with fleet(brands=20, venues=30, speed=SPEED) as brands:
        brands.wait(40)
        since = brands.clock.wall()
        brands.simulator.faults.add(Fault.parse("server_error,endpoint=stations"))
        brands.wait(150)
        times = [entry.at for entry in brands.requests("stations", since=since)]
        yield Figure.at_most(
            "20 brands of 30 venues, all answers 500: most failures within a minute",
            most_within(times, QUOTA_MINUTE),
            600,
            "{:.0f}",
        )
        yield _refused("20 brands of 30 venues, all answers 500: refused (429)", brands, since)


def _refused(what: str, fleet: Fleet, since: float = 0.0) -> Figure:
    refused = sum(entry.code == TOO_MANY for entry in fleet.requests(since=since))
    return Figure.at_most(what, refused, 0, "{:.0f}")


def _delays(brand: Fleet, since: float) -> list[float]:
    """Return how long after it happened every status change was logged, seconds."""
    happened: dict[tuple[str, str | None, Event], list[float]] = {}
    for mutation in brand.simulator.world.mutations(0):
        happened.setdefault((mutation.venue, mutation.station, mutation.event), []).append(mutation.at)
    delays = []
    for entry in brand.daemon.store.journal(JournalQuery(limit=10_000)):
        if entry.event in _STATUS and entry.observed_at >= since:
            causes = happened[str(entry.venue_id), entry.station_id, entry.event]
            delays.append(entry.observed_at - max(at for at in causes if at <= entry.observed_at))
    return delays
