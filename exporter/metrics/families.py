"""The metric families: each is a name, a help text and a pure function of a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from exporter.incidents import inactive_open_seconds, switched_at
from exporter.model import Incident, Kind, Station, Venue
from exporter.views import BrandView, VenueView

NAN = float("nan")
View = TypeVar("View")

_AGE = "Cached; its age follows from clopos_venue_last_success_timestamp_seconds."
_POLLED = "Cached from the last poll; the age of the data follows from clopos_venue_last_success_timestamp_seconds."


class Row(NamedTuple):
    """The label values of one sample, in the order of its scope's label names, and what the value is made from."""

    labels: tuple[str, ...]
    subject: Any


@dataclass(frozen=True, slots=True)
class Scope(Generic[View]):
    """What a sample stands for: its label names, sorted, and the rows that a view has of it."""

    label_names: tuple[str, ...]
    rows: Callable[[View], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Family(Generic[View]):
    """One metric. `name` is as scraped; `value` gives None where a row has no sample."""

    name: str
    help: str
    scope: Scope[View]
    value: Callable[[Any], float | None]

    @property
    def type(self) -> str:
        """Return what Prometheus calls it: counters, and nothing else, end in `_total`."""
        return "counter" if self.name.endswith("_total") else "gauge"


def _stations(view: VenueView) -> Iterator[Row]:
    for station_state in view.stations.values():
        yield Row(_station_labels(view.state.venue, station_state.station), station_state)


def _ignored(view: VenueView) -> Iterator[Row]:
    for station_id, station_state in view.stations.items() if view.ignored else ():
        if station_id in view.ignored:
            yield Row(_station_labels(view.state.venue, station_state.station), 1.0)


def _kinds(view: VenueView) -> Iterator[Row]:
    # Before the first complete poll, and when stale, there is nothing to count: absence, not zero.
    if view.state.stations is not None and not view.stale:
        for kind in Kind:
            stations = [one.station for one in view.stations.values() if one.station.kind is kind]
            if stations or kind is not Kind.UNKNOWN:
                yield Row((view.state.venue.brand, kind.value, *_names(view.state.venue)), stations)


def _transitions(view: VenueView) -> Iterator[Row]:
    seen = view.state.transitions
    for kind in Kind:
        for active in (True, False):
            count = seen.get((kind, active), 0)
            if count or kind is not Kind.UNKNOWN:
                to = "active" if active else "inactive"
                yield Row((view.state.venue.brand, kind.value, to, *_names(view.state.venue)), count)


def _venues(view: VenueView) -> Iterator[Row]:
    yield Row((view.state.venue.brand, *_names(view.state.venue)), view)


def _inactive(view: VenueView) -> Iterator[Row]:
    venue, stations = view.state.venue, view.state.stations or {}
    for station_id in view.state.records:
        station_state, seconds = stations.get(station_id), inactive_open_seconds(view.state, station_id)
        if station_state is not None and seconds is not None:
            yield Row(_station_labels(venue, station_state.station), seconds)


def _incidents(incident: Incident) -> Iterator[Row]:
    venue = incident.venue
    labels = (
        incident.brand,
        incident.kind.value,
        incident.severity.value,
        incident.station or "",
        incident.station_id or "",
        incident.kind.topic.value,
        venue.name if venue else "",
        venue.id if venue else "",
    )
    yield Row(labels, incident)


def _brands(view: BrandView) -> Iterator[Row]:
    yield Row((view.state.brand,), view)


def _station_labels(venue: Venue, station: Station) -> tuple[str, ...]:
    return (venue.brand, station.kind.value, station.name, station.id, venue.name, venue.id)


def _names(venue: Venue) -> tuple[str, str]:
    return (venue.name, venue.id)


STATION = Scope(("brand", "kind", "station", "station_id", "venue", "venue_id"), _stations)
IGNORED = Scope(STATION.label_names, _ignored)
KIND = Scope(("brand", "kind", "venue", "venue_id"), _kinds)
TRANSITION = Scope(("brand", "kind", "to", "venue", "venue_id"), _transitions)
VENUE = Scope(("brand", "venue", "venue_id"), _venues)
BRAND = Scope(("brand",), _brands)
INACTIVE = Scope(STATION.label_names, _inactive)
INCIDENT = Scope(("brand", "kind", "severity", "station", "station_id", "topic", "venue", "venue_id"), _incidents)


def _flag(value: bool | None) -> float:  # noqa: FBT001 - a three-valued flag is the subject itself
    return NAN if value is None else float(value)


VENUE_FAMILIES: tuple[Family[VenueView], ...] = (
    Family(
        "clopos_station_active",
        f"Whether the station is active in Clopos: 1 active, 0 inactive (no new orders go there), NaN unclear. {_AGE}",
        STATION,
        lambda one: _flag(one.station.active),
    ),
    Family(
        "clopos_station_printable",
        f"Whether the station prints tickets: 1 prints, 0 screen only, NaN unclear. {_AGE}",
        STATION,
        lambda one: _flag(one.station.printable),
    ),
    Family(
        "clopos_station_created_timestamp_seconds",
        f"When the station was created, as Clopos says. {_AGE}",
        STATION,
        lambda one: one.station.created_at,
    ),
    Family(
        "clopos_station_updated_timestamp_seconds",
        f"When the station was last edited, as Clopos says. {_AGE}",
        STATION,
        lambda one: one.station.updated_at,
    ),
    Family(
        "clopos_station_last_transition_timestamp_seconds",
        f"When the exporter last saw the station's status change; absent until it has seen one. {_AGE}",
        STATION,
        lambda one: one.last_transition,
    ),
    Family(
        "clopos_station_inactive_since_timestamp_seconds",
        f"Since when the station is inactive, as far as is known; absent while it is not. {_AGE}",
        STATION,
        lambda one: switched_at(one) if one.status is False else None,
    ),
    Family(
        "clopos_station_ignored",
        "1 for a station that the configuration leaves out of the alerts; absent otherwise.",
        IGNORED,
        float,
    ),
    Family(
        "clopos_stations",
        f"Stations of the venue, by kind. {_AGE}",
        KIND,
        len,
    ),
    Family(
        "clopos_stations_active",
        f"Stations of the venue that are active in Clopos, by kind. {_AGE}",
        KIND,
        lambda stations: sum(one.active is True for one in stations),
    ),
    Family(
        "clopos_stations_printable",
        f"Stations of the venue that print tickets, by kind. {_AGE}",
        KIND,
        lambda stations: sum(one.printable is True for one in stations),
    ),
    Family(
        "clopos_station_transitions_total",
        "Status changes seen, by kind and new status.",
        TRANSITION,
        float,
    ),
    Family(
        "clopos_venue_up",
        "Whether the last poll brought every page of the venue's stations: 1 yes, 0 no.",
        VENUE,
        lambda view: view.up,
    ),
    Family(
        "clopos_venue_last_success_timestamp_seconds",
        "When the last complete poll of the venue ended: the age of all its cached values.",
        VENUE,
        lambda view: view.state.last_success,
    ),
    Family(
        "clopos_venue_poll_interval_seconds",
        "The poll interval in force, after stretching to keep within the API quota.",
        VENUE,
        lambda view: view.interval,
    ),
    Family(
        "clopos_venue_poll_duration_seconds",
        f"How long the last poll of the venue took. {_POLLED}",
        VENUE,
        lambda view: view.state.last_duration,
    ),
    Family(
        "clopos_venue_polls_total",
        "Polls of the venue, failed ones included.",
        VENUE,
        lambda view: view.state.polls,
    ),
    Family(
        "clopos_venue_poll_failures_total",
        "Polls of the venue that failed.",
        VENUE,
        lambda view: view.state.failures,
    ),
    Family(
        "clopos_venue_open",
        "Whether the venue is open by its configured opening hours: 1 open, 0 closed; absent without hours.",
        VENUE,
        lambda view: view.opening and view.opening.is_open,
    ),
    Family(
        "clopos_venue_next_open_timestamp_seconds",
        "When the venue opens next by its opening hours; absent where it never does.",
        VENUE,
        lambda view: view.opening and view.opening.next_open,
    ),
    Family(
        "clopos_venue_next_close_timestamp_seconds",
        "When the venue closes next by its opening hours; absent where it never does.",
        VENUE,
        lambda view: view.opening and view.opening.next_close,
    ),
    Family(
        "clopos_venue_open_seconds_total",
        "Time that the venue was open, or without opening hours any time, and was read.",
        VENUE,
        lambda view: view.state.open_seconds,
    ),
    Family(
        "clopos_station_inactive_open_seconds_total",
        "Time that the station was inactive while the venue was open and read; absent until it was.",
        INACTIVE,
        float,
    ),
)

INCIDENT_FAMILIES: tuple[Family[Incident], ...] = (
    Family(
        "clopos_incident",
        "Incidents that fire: always 1, absent otherwise; the names are those of its beginning.",
        INCIDENT,
        lambda _: 1.0,
    ),
    Family(
        "clopos_incident_started_timestamp_seconds",
        "When what is wrong began.",
        INCIDENT,
        lambda incident: float(incident.since),
    ),
)

BRAND_FAMILIES: tuple[Family[BrandView], ...] = (
    Family(
        "clopos_brand_up",
        "Whether login and venue discovery of the brand work: 1 yes, 0 no.",
        BRAND,
        lambda view: view.state.up,
    ),
    Family(
        "clopos_exporter_api_quota_limit",
        "Requests per minute that Clopos allows, as its last answer said.",
        BRAND,
        lambda view: view.quota_limit,
    ),
    Family(
        "clopos_exporter_api_quota_remaining",
        "Requests that were left in the quota's window, as the last answer of Clopos said.",
        BRAND,
        lambda view: view.quota_remaining,
    ),
    Family(
        "clopos_exporter_token_expiry_timestamp_seconds",
        "When the brand's token ends, as Clopos says; it is renewed before.",
        BRAND,
        lambda view: view.token_expires_at,
    ),
    Family(
        "clopos_exporter_poll_lag_seconds",
        "How late the newest poll of the brand started.",
        BRAND,
        lambda view: view.poll_lag,
    ),
    Family(
        "clopos_exporter_polls_skipped_total",
        "Polls that were skipped because the venue was still being polled.",
        BRAND,
        lambda view: view.polls_skipped if view.owned else None,
    ),
    Family(
        "clopos_exporter_brand_owned",
        "Whether this process polls the brand: 1 yes; with PostgreSQL exactly one of several processes does.",
        BRAND,
        lambda view: view.owned,
    ),
    Family(
        "clopos_exporter_api_sunset_timestamp_seconds",
        "When Clopos says that this API ends (RFC 8594); absent where it does not.",
        BRAND,
        lambda view: view.sunset_at,
    ),
)

FAMILIES: tuple[Family[Any], ...] = (*VENUE_FAMILIES, *BRAND_FAMILIES)
