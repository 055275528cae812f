"""The journal: every change in flat form, in order; the queue from which the log and the notifications are served."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from exporter.clock import iso
from exporter.model import EMPTY, Change, Event, Incident, Kind

_WARNINGS = (
    Event.STATION_DEACTIVATED,
    Event.STATION_PRINTING_DISABLED,
    Event.BRAND_VENUES_MISSING,
    Event.INCIDENT_FIRING,
)
_ERRORS = (Event.VENUE_LOST, Event.BRAND_LOGIN_FAILED, Event.BRAND_DISCOVERY_FAILED)
LEVELS = {
    **dict.fromkeys(Event, logging.INFO),
    **dict.fromkeys(_WARNINGS, logging.WARNING),
    **dict.fromkeys(_ERRORS, logging.ERROR),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `id` grows with every entry; times are epoch seconds; None is what the event is not about."""

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
        """Flatten a change: the one place where a change becomes fields."""
        incident, station = change.incident, change.station
        venue = change.venue if incident is None else incident.venue
        station_id, name, kind = (station.id, station.name, station.kind) if station else (None, None, None)
        if incident is not None:
            station_id, name, kind = incident.station_id, incident.station, incident.station_kind
        return cls(
            id=id_,
            event=change.event,
            observed_at=change.observed_at,
            brand=change.brand,
            venue_id=venue.id if venue else None,
            venue=venue.name if venue else None,
            station_id=station_id,
            station=name,
            kind=kind,
            updated_at=station.updated_at if station else None,
            details=with_times({**_described(incident), **change.details}) if incident else change.details,
        )

    @property
    def level(self) -> int:
        """Return the level at which the change is logged."""
        return LEVELS[self.event]

    def fields(self) -> dict[str, Any]:
        """Return flat fields with JSON values: for the log, the command line and the API; what is None is absent."""
        fields = {
            "event": self.event.value,
            "brand": self.brand,
            "venue_id": self.venue_id,
            "venue": self.venue,
            "station_id": self.station_id,
            "station": self.station,
            "kind": self.kind and self.kind.value,
            "observed_at": iso(self.observed_at),
            "updated_at": None if self.updated_at is None else iso(self.updated_at),
        }
        return {**{name: value for name, value in fields.items() if value is not None}, **self.details}


_TIMES = frozenset({"active_since", "edited_at", "expires_at", "from", "narrowed_at", "since", "since_at_least", "to"})


def with_times(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details of an incident with its times, epoch seconds, as ISO 8601 in UTC."""
    return {name: _time(value) if name in _TIMES else value for name, value in details.items()}


def _time(value: Any) -> Any:
    if isinstance(value, Mapping):  # by the ids of stations
        return {key: _time(one) for key, one in value.items()}
    return iso(value) if isinstance(value, float) else value


def _described(incident: Incident) -> dict[str, Any]:
    return {
        "incident": incident.kind.value,
        "severity": incident.severity.value,
        "topic": incident.kind.topic.value,
        "began_at": iso(incident.began_at),
        **({"members": [list(member) for member in incident.members]} if incident.members else {}),
        **incident.details,
    }


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
        """Return whether an entry is wanted."""
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


class Journal(Protocol):
    """What the log needs of the journal: the entries after its cursor, and a place to keep the cursor.

    Implemented by the memory store, by the file and by the database.
    """

    def entries_after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow an id, oldest first; what was deleted meanwhile is skipped."""

    def cursor(self) -> int:
        """Return the id of the last entry that was emitted, 0 before the first."""

    def advance(self, id_: int) -> None:
        """Store the cursor."""
