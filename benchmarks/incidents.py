"""What a thousand open incidents cost: a poll, the first poll of a change, and a scrape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.figures import Figure
from benchmarks.measuring import alternate, timed
from exporter.changes import advance, advance_brand
from exporter.clock import Clock
from exporter.incidents import BrandIncidents, Decision, IncidentRules
from exporter.metrics.exposition import Exposition
from exporter.metrics.telemetry import Telemetry
from exporter.model import BrandState, Discovery, Incident, Instant, Kind, Snapshot, Station, Venue, VenueState
from exporter.views import VenueView

VENUES, STATIONS, OPEN = 2_000, 20, 1_000
NOON = 1_800_000_000.0
BRAND = "tandir-group"
APART = 10.0
"""Seconds between two edits: no bulk edit."""


def figures() -> Iterator[Figure]:
    """Measure a brand with a thousand incidents beside one without."""
    calm, busy = _Brand(0), _Brand(OPEN)
    took = alternate(
        200,
        {
            "calm": lambda: calm.poll(changed=False),
            "busy": lambda: busy.poll(changed=False),
            "calm change": lambda: calm.poll(changed=True),
            "busy change": lambda: busy.poll(changed=True),
            "calm scrape": calm.scrape,
            "busy scrape": busy.scrape,
            "changed scrape": busy.scrape_with_a_new_incident,
        },
    )
    what = f"{OPEN:,} incidents in {VENUES:,} venues"
    yield Figure(f"{what}: to decide about a poll that brings nothing new", f"{took['busy'] * 1e6:.1f} µs")
    yield Figure.at_most(f"{what}: the same / without incidents", took["busy"] / took["calm"], 1.5)
    yield Figure.at_most(
        f"{what}: to decide about a station that was switched, {took['calm change'] * 1e3:.2f} ms without incidents",
        took["busy change"] * 1e3,
        10,
        "{:.2f} ms",
    )
    yield Figure.at_most(
        f"{what}: to make a scrape, gzip, {took['calm scrape'] * 1e3:.1f} ms without incidents",
        took["busy scrape"] * 1e3,
        50,
        "{:.1f} ms",
    )
    what = f"{what}: the same after one of them began"
    yield Figure.at_most(what, took["changed scrape"] * 1e3, 50, "{:.1f} ms")


class _Brand:
    """A brand so many of whose venues have a kitchen station that has been inactive for long."""

    def __init__(self, incidents: int) -> None:
        self._clock, self._polls = Clock(), 0
        self._now = Instant(NOON, 0.0)
        venues = tuple(Venue(BRAND, str(number), f"Venue {number}") for number in range(VENUES))
        self._states = {venue.id: VenueState(venue) for venue in venues}
        self._rows = {venue.id: _stations(number, number < incidents) for number, venue in enumerate(venues)}
        self._brand, _ = advance_brand(BrandState(BRAND), Discovery(venues, self._now))
        rules = IncidentRules()
        self._incidents = BrandIncidents(lambda _venue: rules, rules, self._states.__getitem__, self._now)
        self._incidents.after_discovery(self._brand, self._now)
        for seconds in (0.0, 200.0):
            self._now = Instant(NOON + seconds, seconds)
            for venue in venues:
                self._poll(venue.id)
        firing = self._firing()
        if len(firing) != incidents:
            raise RuntimeError(f"{len(firing)} incidents fire in place of {incidents}")
        self._exposition = Exposition(Telemetry(list, lambda: None, incidents=self._firing), self._clock)
        for state in self._states.values():
            self._exposition.update(VenueView(state, 60.0))

    def poll(self, *, changed: bool) -> float:
        """Return the seconds that it takes to decide about a poll of the last venue."""
        venue_id = str(VENUES - 1)
        if changed:
            rows = self._rows[venue_id]
            self._rows[venue_id] = (replace(rows[0], active=not rows[0].active), *rows[1:])
        return self._poll(venue_id)

    def scrape(self) -> float:
        """Return the seconds that a scrape takes to make with everything about the process made again."""
        self._exposition.expire_telemetry()
        return timed(lambda: self._exposition.scrape("", "gzip"))

    def scrape_with_a_new_incident(self) -> float:
        """Return the seconds that a scrape takes to make in which the lines of one incident are new."""
        state = self._states["0"]
        incidents = {key: replace(one, began_at=one.began_at - 1) for key, one in state.incidents.items()}
        self._states["0"] = replace(state, incidents=incidents)
        return self.scrape()

    def _poll(self, venue_id: str) -> float:
        self._polls += 1
        self._now = Instant(self._now.wall + 0.01, self._now.monotonic + 0.01)
        state, changes = advance(self._states[venue_id], Snapshot(self._rows[venue_id], self._now))
        decided: list[Decision] = []
        seconds = timed(lambda: decided.append(self._incidents.after_poll(self._brand, state, changes, self._now)))
        [decision] = decided
        self._states |= {one.venue.id: one for one in decision.venues}
        self._brand = decision.brand or self._brand
        return seconds

    def _firing(self) -> list[Incident]:
        return [incident for state in self._states.values() for incident in state.incidents.values() if incident.firing]


def _stations(number: int, off: bool) -> tuple[Station, ...]:  # noqa: FBT001 - what is wrong with it
    return tuple(
        Station(
            str(i),
            f"Station {i}",
            Kind.KITCHEN if i == STATIONS - 1 else Kind.OTHER,
            active=not (off and i == STATIONS - 1),
            printable=True,
            created_at=NOON - 1e7,
            updated_at=NOON - APART * (number + 1),
        )
        for i in range(STATIONS)
    )
