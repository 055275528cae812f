"""All that is known of stations, venues and brands between two polls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.model.clopos import EMPTY, Kind, Reason, Station, Venue
from exporter.model.incident import Incident


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
    complete polls in a row that did not hold the station. `is_unedited` says that the last change of the status did not
    move the edit time of Clopos on, which then says nothing about it. `since_monotonic` is `since` in monotonic
    seconds, None where that was in an earlier process.
    """

    station: Station
    status: bool | None
    printing: bool | None
    since: float
    last_transition: float | None = None
    missing: int = 0
    is_unedited: bool = False
    since_monotonic: float | None = field(default=None, compare=False)


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
