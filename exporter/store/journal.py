"""The journal: every told change in flat words, and how to ask for some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.model import EMPTY, Change, Event, Kind


@dataclass(frozen=True, slots=True)
class Entry:
    """One told change. `id` grows with every entry; times are epoch seconds; None is what the event is not about."""

    id: int
    event: Event
    observed_at: float
    brand: str
    venue_id: str | None = None
    venue: str | None = None
    station_id: str | None = None
    station: str | None = None
    kind: Kind | None = None
    updated_at: float | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @classmethod
    def of(cls, id_: int, change: Change) -> Entry:
        """Flatten a change."""
        venue, station = change.venue, change.station
        return cls(
            id=id_,
            event=change.event,
            observed_at=change.observed_at,
            brand=change.brand,
            venue_id=venue.id if venue else None,
            venue=venue.name if venue else None,
            station_id=station.id if station else None,
            station=station.name if station else None,
            kind=station.kind if station else None,
            updated_at=station.updated_at if station else None,
            details=change.details,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalQuery:
    """Which entries are wanted, newest first; a filter that is not set lets everything pass.

    `since` is inclusive and `until` exclusive, epoch seconds. `before` is the id of the last entry of the page before.
    """

    brand: str | None = None
    venue_id: str | None = None
    station_id: str | None = None
    kind: Kind | None = None
    events: frozenset[Event] = frozenset()
    since: float | None = None
    until: float | None = None
    before: int | None = None
    limit: int = 100

    def matches(self, entry: Entry) -> bool:
        """Tell whether an entry is wanted."""
        return (
            self.brand in (None, entry.brand)
            and self.venue_id in (None, entry.venue_id)
            and self.station_id in (None, entry.station_id)
            and self.kind in (None, entry.kind)
            and (not self.events or entry.event in self.events)
            and (self.since is None or entry.observed_at >= self.since)
            and (self.until is None or entry.observed_at < self.until)
            and (self.before is None or entry.id < self.before)
        )
