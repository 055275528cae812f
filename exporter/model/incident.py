"""What a person has to know: the incidents, their kinds, and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from exporter.model.clopos import EMPTY, Kind, Venue


class Topic(StrEnum):
    """The audience of an incident: those who run the restaurant, or those who run this service."""

    STATIONS = "stations"
    SERVICE = "service"


class Severity(StrEnum):
    """How urgent an incident is."""

    CRITICAL = "critical"
    WARNING = "warning"


class IncidentKind(StrEnum):
    """What a person has to know: the fixed list behind the `kind` of incidents, with the topic and severity of each."""

    topic: Topic
    severity: Severity

    def __new__(cls, value: str, topic: Topic = Topic.SERVICE, severity: Severity = Severity.WARNING) -> Self:
        """Make a kind: a warning to those who run this service, unless it says otherwise."""
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.topic, kind.severity = topic, severity
        return kind

    KITCHEN_STATION_INACTIVE = "kitchen_station_inactive", Topic.STATIONS, Severity.CRITICAL
    STATION_INACTIVE = "station_inactive", Topic.STATIONS
    VENUE_NO_ACTIVE_STATION = "venue_no_active_station", Topic.STATIONS, Severity.CRITICAL
    MANY_VENUES_INACTIVE = "many_venues_inactive", Topic.STATIONS, Severity.CRITICAL
    STATION_NOT_READY = "station_not_ready", Topic.STATIONS
    PRINTING_DISABLED = "printing_disabled", Topic.STATIONS
    STATION_FLAPPING = "station_flapping", Topic.STATIONS
    STATION_REMOVED = "station_removed", Topic.STATIONS
    STATION_UNCLEAR = "station_unclear"
    VENUE_DATA_STALE = "venue_data_stale"
    BRAND_UNREACHABLE = "brand_unreachable", Topic.SERVICE, Severity.CRITICAL
    LOGIN_FAILING = "login_failing", Topic.SERVICE, Severity.CRITICAL
    TOKEN_EXPIRING = "token_expiring"  # noqa: S105 - the name of a kind, not a token
    CLOCK_SKEW = "clock_skew"
    STATE_UNAVAILABLE = "state_unavailable"
    LOG_UNAVAILABLE = "log_unavailable"
    RELOAD_FAILED = "reload_failed"
    CHANNEL_DOWN = "channel_down"

    @property
    def hides_stations(self) -> bool:
        """Return whether nothing new is known of stations while it lasts."""
        return self in (IncidentKind.VENUE_DATA_STALE, IncidentKind.BRAND_UNREACHABLE, IncidentKind.LOGIN_FAILING)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something a person has to know, from the moment it began until it is resolved.

    `began_at` is the epoch second from which the condition holds, `fired_at` that at which it fired, None while it is
    pending. `venue` and the station fields are as they were when it began, so that its labels never change; None where
    its scope is wider. `members` names what a grouped incident stands for: (venue id, station id) pairs. `covered` is
    True where a grouped incident that fires stands for this one, which is pending for as long as that lasts.
    """

    kind: IncidentKind
    severity: Severity
    brand: str
    began_at: float
    venue: Venue | None = None
    station_id: str | None = None
    station: str | None = None
    station_kind: Kind | None = None
    fired_at: float | None = None
    members: tuple[tuple[str, str], ...] = ()
    covered: bool = False
    details: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @property
    def firing(self) -> bool:
        """Return whether people have been or are being notified of it."""
        return self.fired_at is not None

    @property
    def since(self) -> float:
        """Return from when it holds, epoch seconds: for an inactive station, when it was switched."""
        for key in ("since", "since_at_least"):
            if isinstance(since := self.details.get(key), float):
                return since
        return self.began_at

    @property
    def is_since_minimum(self) -> bool:
        """Return whether it held already when it was first seen, nobody knows since when."""
        return "since_at_least" in self.details and "since" not in self.details


class Ended(StrEnum):
    """How an incident ended: the `ended` of `incident.resolved`."""

    ACTIVE_AGAIN = "active again"
    RECOVERED = "recovered"
    REMOVED = "removed"
    IGNORED = "ignored"
    RETIRED = "retired"
    CLOSED = "closed"
    REPLACED = "replaced"
    """Another incident stands for it from now on."""
