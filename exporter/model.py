"""The words of the project as frozen values: everybody above speaks in these and nobody changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

EMPTY: Mapping[Any, Any] = MappingProxyType({})

VenueKey = tuple[str, str]
"""Brand and venue id: what makes a venue unique across everything that is watched."""


class Instant(NamedTuple):
    """One moment on both clocks: `wall` is epoch seconds for people, `monotonic` is monotonic seconds for ages."""

    wall: float
    monotonic: float


class Kind(StrEnum):
    """What a station is, from Clopos' `type`: 1 kitchen, 0 other."""

    KITCHEN = "kitchen"
    OTHER = "other"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a poll failed: the fixed list behind the `reason` label."""

    BAD_REQUEST = "bad_request"
    CLIENT_DISABLED = "client_disabled"
    CONNECTION = "connection"
    CREDENTIALS = "credentials"
    FORBIDDEN = "forbidden"
    GATEWAY = "gateway"
    GATEWAY_TIMEOUT = "gateway_timeout"
    INCOMPLETE = "incomplete"
    INTEGRATOR = "integrator"
    INTERNAL = "internal"
    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    REDIRECTED = "redirected"
    TEST_MODE = "test_mode"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    TLS = "tls"
    TOKEN = "token"  # noqa: S105 - the name of a reason, not a token
    TOO_LARGE = "too_large"

    @property
    def remedy(self) -> str:
        """Say what a person should do about it."""
        return _REMEDIES.get(self, "Nothing to do at once: the exporter keeps trying. See the message for the cause.")

    @property
    def is_configuration(self) -> bool:
        """Return whether only a person can fix it, so that asking again soon is of no use."""
        return self in _REMEDIES


_REMEDIES = {
    Reason.BAD_REQUEST: "Clopos refuses what is asked. Check brand, integrator_id and venue ids in the configuration.",
    Reason.CLIENT_DISABLED: "Switch the Open API module on again in the Clopos back office of this brand.",
    Reason.CREDENTIALS: "Check client_id, client_secret and brand against the Clopos back office of this brand.",
    Reason.FORBIDDEN: "Give the staff user behind the credentials the right to read stations and venues in Clopos.",
    Reason.INTEGRATOR: "The integrator itself is refused, for every brand: check integrator_id with Clopos.",
    Reason.TEST_MODE: "Integrator and brand must both be in test mode or both in production: ask Clopos to align them.",
    Reason.TOKEN: "The configured token is no longer good: supply a new one, or client_id and client_secret instead.",
}


class Event(StrEnum):
    """The name of a change, as it stands in the log and the journal."""

    STATION_ACTIVATED = "station.activated"
    STATION_ADDED = "station.added"
    STATION_DEACTIVATED = "station.deactivated"
    STATION_FOUND_INACTIVE = "station.found_inactive"
    STATION_KIND_CHANGED = "station.kind_changed"
    STATION_PRINTING_DISABLED = "station.printing_disabled"
    STATION_PRINTING_ENABLED = "station.printing_enabled"
    STATION_REMOVED = "station.removed"
    STATION_RENAMED = "station.renamed"
    STATION_TOUCHED = "station.touched"
    VENUE_ADDED = "venue.added"
    VENUE_LOST = "venue.lost"
    VENUE_RECOVERED = "venue.recovered"
    VENUE_REMOVED = "venue.removed"
    BRAND_LOGIN_FAILED = "brand.login_failed"
    BRAND_LOGIN_RECOVERED = "brand.login_recovered"
    BRAND_DISCOVERY_FAILED = "brand.discovery_failed"
    BRAND_DISCOVERY_RECOVERED = "brand.discovery_recovered"
    BRAND_VENUES_MISSING = "brand.venues_missing"
    INCIDENT_FIRING = "incident.firing"
    INCIDENT_RESOLVED = "incident.resolved"


@dataclass(frozen=True, slots=True)
class Venue:
    """A restaurant under a brand. Ids are strings; `name` is for people and may change."""

    brand: str
    id: str
    name: str

    @property
    def key(self) -> VenueKey:
        """Return what stays the same when the venue is renamed."""
        return (self.brand, self.id)


@dataclass(frozen=True, slots=True)
class Station:
    """One row of Clopos' answer, decoded. Times are epoch seconds; None is what Clopos did not say clearly."""

    id: str
    name: str
    kind: Kind
    active: bool | None
    printable: bool | None
    created_at: float | None
    updated_at: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The outcome of a complete poll: every station of a venue, each id once.

    `duration` is in seconds; `requests` is how many pages it took. `partial` is True where the list may lack stations
    (rows that cannot be read, a list that contradicts itself), so that absence from it proves nothing. `began` is the
    monotonic time at which the poll began: an outcome is not newer than a failure that came after its beginning.
    """

    stations: tuple[Station, ...]
    at: Instant
    duration: float = 0.0
    requests: int = 1
    partial: bool = False
    began: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The outcome of anything that did not work: it travels as a value, like a success.

    `brand_wide` is True where login failed: no venue of the brand can be read until that is fixed. `began` is the
    monotonic time at which the poll or discovery began. `fallback` holds the venues to poll meanwhile where the list of
    venues is refused and none is known yet.
    """

    reason: Reason
    message: str
    at: Instant
    duration: float = 0.0
    brand_wide: bool = False
    began: float | None = None
    fallback: tuple[Venue, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovery:
    """The outcome of a working login and venue discovery.

    `listed` says that the configuration lists the venues, so that one it does not list is gone for certain. `began` is
    the monotonic time at which the discovery began.
    """

    venues: tuple[Venue, ...]
    at: Instant
    duration: float = 0.0
    listed: bool = False
    began: float | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The outcome of a request that got past the login, whatever became of it; `began` is monotonic seconds."""

    at: Instant
    began: float | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """A failure that has not ended yet: when it began (epoch seconds) and with what.

    `since_monotonic` is the same moment in monotonic seconds, None where it began in an earlier process.
    """

    since: float
    reason: Reason
    message: str
    since_monotonic: float | None = field(default=None, compare=False)


class Absence(NamedTuple):
    """How many discoveries in a row did not list a venue, and the epoch second of the first of them."""

    times: int
    since: float


class Opening(NamedTuple):
    """Whether a venue is open, and when that changes next (epoch seconds; None where it never does)."""

    is_open: bool
    next_open: float | None
    next_close: float | None


@dataclass(frozen=True, slots=True)
class StationState:
    """A station and what we know of it beyond its last row.

    `status` and `printing` are the last clear ones (a row may say neither yes nor no); `since` is from when we know the
    status to hold, epoch seconds; `last_transition` is when we saw it change, None until then; `missing` counts
    complete polls in a row that did not hold the station. `since_monotonic` is `since` in monotonic seconds, None where
    that was in an earlier process.
    """

    station: Station
    status: bool | None
    printing: bool | None
    since: float
    last_transition: float | None = None
    missing: int = 0
    since_monotonic: float | None = field(default=None, compare=False)


class IncidentKind(StrEnum):
    """What a person has to know: the fixed list behind the `kind` of incidents."""

    KITCHEN_STATION_INACTIVE = "kitchen_station_inactive"
    STATION_INACTIVE = "station_inactive"
    VENUE_NO_ACTIVE_STATION = "venue_no_active_station"
    MANY_VENUES_INACTIVE = "many_venues_inactive"
    STATION_NOT_READY = "station_not_ready"
    PRINTING_DISABLED = "printing_disabled"
    STATION_FLAPPING = "station_flapping"
    STATION_REMOVED = "station_removed"
    STATION_UNCLEAR = "station_unclear"
    VENUE_DATA_STALE = "venue_data_stale"
    BRAND_UNREACHABLE = "brand_unreachable"
    LOGIN_FAILING = "login_failing"
    TOKEN_EXPIRING = "token_expiring"  # noqa: S105 - the name of a kind, not a token
    CLOCK_SKEW = "clock_skew"
    STATE_UNAVAILABLE = "state_unavailable"
    LOG_UNAVAILABLE = "log_unavailable"
    RELOAD_FAILED = "reload_failed"
    CHANNEL_DOWN = "channel_down"

    @property
    def topic(self) -> Topic:
        """Return who has to know: those who run the restaurant, or those who run this service."""
        return Topic.STATIONS if self in _STATION_KINDS else Topic.SERVICE

    @property
    def severity(self) -> Severity:
        """Return how urgent it is."""
        return Severity.CRITICAL if self in _CRITICAL_KINDS else Severity.WARNING


class Topic(StrEnum):
    """The audience of an incident."""

    STATIONS = "stations"
    SERVICE = "service"


class Severity(StrEnum):
    """How urgent an incident is."""

    CRITICAL = "critical"
    WARNING = "warning"


_STATION_KINDS = frozenset(
    {
        IncidentKind.KITCHEN_STATION_INACTIVE,
        IncidentKind.STATION_INACTIVE,
        IncidentKind.VENUE_NO_ACTIVE_STATION,
        IncidentKind.MANY_VENUES_INACTIVE,
        IncidentKind.STATION_NOT_READY,
        IncidentKind.PRINTING_DISABLED,
        IncidentKind.STATION_FLAPPING,
        IncidentKind.STATION_REMOVED,
    }
)


_CRITICAL_KINDS = frozenset(
    {
        IncidentKind.KITCHEN_STATION_INACTIVE,
        IncidentKind.VENUE_NO_ACTIVE_STATION,
        IncidentKind.MANY_VENUES_INACTIVE,
        IncidentKind.BRAND_UNREACHABLE,
        IncidentKind.LOGIN_FAILING,
    }
)


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

    @property
    def is_over(self) -> bool:
        """Return whether what was wrong is over; else it may last, and nobody may be notified that it ended."""
        return self in (Ended.ACTIVE_AGAIN, Ended.RECOVERED, Ended.REMOVED)


@dataclass(frozen=True, slots=True)
class StationRecord:
    """What is remembered of a station beyond its state: for how long it has been inactive, and how often it changed.

    Seconds are counted in opening hours while the venue is read, by `VenueState.open_seconds` as the clock:
    `inactive_seconds` is all of it up to `inactive_from` (on that clock; None while the station is active).
    `unexcused_seconds` and `unexcused_from` are the same for the present inactivity without the time that the
    configuration left the station out. `retired` says that it counts as off for good until it is active again.
    `transitions` holds the newest status changes in opening hours, epoch seconds.
    """

    inactive_seconds: float = 0.0
    inactive_from: float | None = None
    unexcused_seconds: float = 0.0
    unexcused_from: float | None = None
    retired: bool = False
    transitions: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class VenueState:
    """All that is known of a venue.

    `stations` is None until the first complete poll, and stays the same object as long as nothing in it changed, which
    lets readers and stores compare by identity.

    `transitions` counts status changes seen, by kind and new status. `fresh_at` is the monotonic time of the last
    complete poll, `polled_at` that of the last one in this process, whatever came of it. `restored` says that it comes
    from an earlier process and has not been polled since. `partial_since` is from when polls have brought rows that
    cannot be read, epoch seconds.

    `incidents` by key and `records` by station id belong to `exporter.incidents`, as do `open_seconds`, the time that
    the venue was open and read, and `counted_at`, the monotonic time up to which that is counted (None while it is
    not). Both mappings stay the same object as long as nothing in them changed.
    """

    venue: Venue
    stations: Mapping[str, StationState] | None = None
    transitions: Mapping[tuple[Kind, bool], int] = field(default_factory=lambda: EMPTY)
    polls: int = 0
    failures: int = 0
    last_success: float | None = None
    last_duration: float | None = None
    fresh_at: float | None = None
    polled_at: float | None = None
    requests: int = 1
    outage: Outage | None = None
    restored: bool = False
    partial_since: float | None = None
    incidents: Mapping[str, Incident] = field(default_factory=lambda: EMPTY)
    records: Mapping[str, StationRecord] = field(default_factory=lambda: EMPTY)
    open_seconds: float = 0.0
    counted_at: float | None = field(default=None, compare=False)

    @property
    def up(self) -> bool | None:
        """Return whether the last poll was complete; None before the first."""
        return None if not self.polls else self.outage is None


@dataclass(frozen=True, slots=True)
class BrandState:
    """All that is known of a brand.

    `venues` is None until the first discovery; `missing` holds the venues that are kept although the newest discovery
    did not list them. `login_outage` is a login that does not work, `outage` a venue discovery that does not.
    `seen` becomes True with the first outcome of any kind in this process.
    """

    brand: str
    venues: tuple[Venue, ...] | None = None
    missing: Mapping[str, Absence] = field(default_factory=lambda: EMPTY)
    login_outage: Outage | None = None
    outage: Outage | None = None
    seen: bool = False
    restored: bool = False
    incidents: Mapping[str, Incident] = field(default_factory=lambda: EMPTY)

    @property
    def up(self) -> bool | None:
        """Return whether login and venue discovery work; None before the first outcome."""
        return None if not self.seen else self.login_outage is None and self.outage is None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened, as a value: the log, the journal, the page and the tests share it.

    `observed_at` is epoch seconds. `details` holds what only this event says, JSON values only. `incident` is set for
    `incident.firing` and `incident.resolved`, whose `venue` and `station` are None.
    """

    event: Event
    brand: str
    observed_at: float
    venue: Venue | None = None
    station: Station | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    incident: Incident | None = None
