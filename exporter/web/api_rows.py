"""The rows of the JSON API: every field is a name, a type and a pure function of what the row is about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field

from exporter.clock import in_utc
from exporter.incidents import holds_since
from exporter.journal import Entry, with_times
from exporter.model import Event, Incident, IncidentKind, Kind, Severity, StationState, Topic
from exporter.views import VenueView
from exporter.web.api_queries import IncidentStatus, StationStatus, VenueStatus
from exporter.web.troubles import is_current

T = TypeVar("T")

Fields = dict[str, tuple[Any, Callable[[T], Any]]]

_Since = Annotated[
    datetime,
    Field(
        description="From when it holds, as on the page, in messages and metrics: of a station that was switched, the "
        "time of Clopos."
    ),
]
_SinceIsMinimum = Annotated[
    bool, Field(description="True where it held already when the exporter first looked: `since` is that time then.")
]
_BeganAt = Annotated[
    datetime,
    Field(
        description="From when the delay counts: when the exporter saw the condition in opening hours, `since` or "
        "later."
    ),
]
_FiredAt = Annotated[datetime | None, Field(description="When it fired; null while it is pending.")]

_STATUS: dict[bool | None, StationStatus] = {True: "active", False: "inactive", None: "unknown"}


class StationItem(NamedTuple):
    """A station and the venue that it is in."""

    view: VenueView
    known: StationState

    @property
    def status(self) -> StationStatus:
        """Return what Clopos says of it; `unknown` where that is neither active nor inactive."""
        return _STATUS[self.known.station.active]


class VenueItem(NamedTuple):
    """A venue at a moment of monotonic time."""

    view: VenueView
    now: float
    owner: str | None = None

    @property
    def status(self) -> VenueStatus:
        """Return whether the last poll brought everything; `stale` is too old to be shown."""
        if self.view.stale:
            return "stale"
        if self.view.state.outage is not None:
            return "failing"
        return "waiting" if self.view.state.stations is None else "fresh"

    @property
    def shows_stations(self) -> bool:
        """Return whether stations are known and not too old to be shown: absence is not zero."""
        return self.view.state.stations is not None and not self.view.stale


def incident_status(incident: Incident) -> IncidentStatus:
    """Return whether people have been notified of it."""
    return "firing" if incident.firing else "pending"


STATION: Fields[StationItem] = {
    "brand": (str, lambda row: row.view.state.venue.brand),
    "venue_id": (str, lambda row: row.view.state.venue.id),
    "venue": (str, lambda row: row.view.state.venue.name),
    "station_id": (str, lambda row: row.known.station.id),
    "station": (str, lambda row: row.known.station.name),
    "kind": (Kind, lambda row: row.known.station.kind),
    "status": (StationStatus, lambda row: row.status),
    "printable": (bool | None, lambda row: row.known.station.printable),
    "since": (_Since, lambda row: _time(holds_since(row.known)[0])),
    "since_is_minimum": (_SinceIsMinimum, lambda row: not holds_since(row.known)[1]),
    "last_transition": (datetime | None, lambda row: _time(row.known.last_transition)),
    "created_at": (datetime | None, lambda row: _time(row.known.station.created_at)),
    "updated_at": (datetime | None, lambda row: _time(row.known.station.updated_at)),
    "ignored": (bool, lambda row: row.known.station.id in row.view.ignored),
}

VENUE: Fields[VenueItem] = {
    "brand": (str, lambda row: row.view.state.venue.brand),
    "venue_id": (str, lambda row: row.view.state.venue.id),
    "venue": (str, lambda row: row.view.state.venue.name),
    "status": (VenueStatus, lambda row: row.status),
    "read": (bool, lambda row: is_current(row.view)),
    "stations": (int | None, lambda row: len(row.view.stations) if row.shows_stations else None),
    "active": (int | None, lambda row: _active(row.view) if row.shows_stations else None),
    "last_success": (datetime | None, lambda row: _time(row.view.state.last_success)),
    "age_seconds": (float | None, lambda row: _age(row.view.state.fresh_at, row.now)),
    "poll_interval_seconds": (float, lambda row: row.view.interval),
    "stale_after_seconds": (float | None, lambda row: row.view.stale_after if row.view.stale_after < inf else None),
    "outage": (dict[str, str] | None, lambda row: _outage(row.view)),
    "open": (bool | None, lambda row: row.view.opening and row.view.opening.is_open),
    "next_open": (datetime | None, lambda row: row.view.opening and _time(row.view.opening.next_open)),
    "next_close": (datetime | None, lambda row: row.view.opening and _time(row.view.opening.next_close)),
    "polled_by": (str | None, lambda row: row.owner),
}

INCIDENT: Fields[Incident] = {
    "kind": (IncidentKind, lambda row: row.kind),
    "severity": (Severity, lambda row: row.severity),
    "topic": (Topic, lambda row: row.kind.topic),
    "status": (IncidentStatus, incident_status),
    "brand": (str, lambda row: row.brand),
    "venue_id": (str | None, lambda row: row.venue and row.venue.id),
    "venue": (str | None, lambda row: row.venue and row.venue.name),
    "station_id": (str | None, lambda row: row.station_id),
    "station": (str | None, lambda row: row.station),
    "station_kind": (Kind | None, lambda row: row.station_kind),
    "since": (_Since, lambda row: _time(row.since)),
    "since_is_minimum": (_SinceIsMinimum, lambda row: row.is_since_minimum),
    "began_at": (_BeganAt, lambda row: _time(row.began_at)),
    "fired_at": (_FiredAt, lambda row: _time(row.fired_at)),
    "members": (list[tuple[str, str]], lambda row: row.members),
    "covered": (bool, lambda row: row.covered),
    "details": (dict[str, Any], lambda row: with_times(row.details)),
}

CHANGE: Fields[Entry] = {
    "id": (int, lambda row: row.id),
    "event": (Event, lambda row: row.event),
    "observed_at": (datetime, lambda row: _time(row.observed_at)),
    "brand": (str, lambda row: row.brand),
    "venue_id": (str | None, lambda row: row.venue_id),
    "venue": (str | None, lambda row: row.venue),
    "station_id": (str | None, lambda row: row.station_id),
    "station": (str | None, lambda row: row.station),
    "kind": (Kind | None, lambda row: row.kind),
    "updated_at": (datetime | None, lambda row: _time(row.updated_at)),
    "details": (dict[str, Any], lambda row: dict(row.details)),
}


def as_json(fields: Fields[T], row: T) -> dict[str, Any]:
    """Return a row as what can be written as JSON."""
    return {name: function(row) for name, (_, function) in fields.items()}


def _time(wall: float | None) -> datetime | None:
    return None if wall is None else in_utc(wall)


def _active(view: VenueView) -> int:
    return sum(one.station.active is True for one in view.stations.values())


def _age(fresh_at: float | None, now: float) -> float | None:
    return None if fresh_at is None else round(now - fresh_at, 3)


def _outage(view: VenueView) -> dict[str, Any] | None:
    outage = view.state.outage
    if outage is None:
        return None
    return {"since": in_utc(outage.since), "reason": outage.reason, "message": outage.message}
