"""What is wrong now, and how bad it is, from the incidents and states in views: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from math import inf

from exporter.incidents import holds_since
from exporter.model import BrandState, Incident, IncidentKind, Kind, Outage, Reason, Severity, StationState
from exporter.views import BrandView, VenueView

_INACTIVE = frozenset(
    {IncidentKind.KITCHEN_STATION_INACTIVE, IncidentKind.STATION_INACTIVE, IncidentKind.STATION_NOT_READY}
)
_GROUPS = frozenset({IncidentKind.VENUE_NO_ACTIVE_STATION, IncidentKind.STATION_NOT_READY})

_SILENT = frozenset(
    {
        Reason.CONNECTION,
        Reason.GATEWAY,
        Reason.GATEWAY_TIMEOUT,
        Reason.TIMEOUT,
        Reason.TLS,
    }
)
"""Reasons that mean that Clopos does not answer at all."""


class Level(IntEnum):
    """How much something matters to somebody in the restaurant, from least to most."""

    FINE = 0
    QUIET = 1
    NOTICE = 2
    NO_DATA = 3
    URGENT = 4


class Quiet(Enum):
    """Why nobody is alerted of a station that is off."""

    CLOSED = "closed"
    IGNORED = "ignored"
    RETIRED = "retired"
    REMEMBERED = "remembered"
    """It was off when it was seen last; nobody knows of now."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Stations of a venue with one thing wrong, newest first, and the incident that says so, pending or firing.

    `quiet` says why nobody is alerted, and `until` until when, epoch seconds, None where that is not known.
    """

    level: Level
    view: VenueView
    stations: tuple[StationState, ...]
    kind: IncidentKind
    incident: Incident | None = None
    quiet: Quiet | None = None
    until: float | None = None

    @property
    def key(self) -> str:
        """Return what stays the same while it lasts."""
        station = "" if self.is_venue else self.name_of.station.id if self.name_of else self.station_name
        return f"{self.view.state.venue.brand}/{self.view.state.venue.id}/{station}/{self.kind}"

    @property
    def is_covered(self) -> bool:
        """Return whether an incident of many venues stands for it."""
        return self.incident is not None and self.incident.covered

    @property
    def is_venue(self) -> bool:
        """Return whether it is about all stations of the venue at once."""
        return len(self.stations) > 1 and self.kind in _GROUPS

    @property
    def is_inactive(self) -> bool:
        """Return whether it is about stations that are inactive."""
        return self.kind in _INACTIVE or self.kind in _GROUPS

    @property
    def name_of(self) -> StationState | None:
        """Return the station by whose name it goes, None where that is gone."""
        return self.stations[0] if self.stations else None

    @property
    def station_name(self) -> str:
        """Return the name of the station that it is about."""
        if self.stations:
            station = self.stations[0].station
            return station.name.strip() or station.id
        return (self.incident and (self.incident.station or self.incident.station_id)) or "?"

    @property
    def since(self) -> float:
        """Return from when it holds, epoch seconds."""
        if self.is_venue and self.incident:
            return self.incident.since
        if self.is_inactive and self.stations:
            return min(holds_since(one)[0] for one in self.stations)
        return self.incident.since if self.incident else inf

    @property
    def is_since_exact(self) -> bool:
        """Return whether it began at `since` rather than before."""
        if self.is_venue and self.incident:
            return not self.incident.is_since_minimum
        return not self.is_inactive or all(holds_since(one)[1] for one in self.stations)

    @property
    def edited_at(self) -> float | None:
        """Return when somebody edited the stations last, as Clopos says, epoch seconds."""
        return max((at for one in self.stations if (at := one.station.updated_at) is not None), default=None)


@dataclass(frozen=True, slots=True)
class DataOutage:
    """Something that keeps us from seeing: the login of a brand, its list of venues, or venues.

    `brands` are those it is about. `views` are the venues without data, of `total`; empty where it is about the brand
    itself. `whole` says that no venue of the brands can be read.
    """

    brands: Sequence[str]
    outage: Outage
    views: Sequence[VenueView] = ()
    total: int = 0
    login: bool = False
    whole: bool = False

    @property
    def is_silent(self) -> bool:
        """Return whether Clopos does not answer at all."""
        return self.whole and self.outage.reason in _SILENT

    @property
    def answers_with_errors(self) -> bool:
        """Return whether every answer of Clopos is an HTTP 5xx."""
        return self.whole and self.outage.reason is Reason.GATEWAY


def is_current(view: VenueView) -> bool:
    """Return whether what is known of a venue is what holds now."""
    state = view.state
    return (
        state.stations is not None
        and state.polled_at is not None
        and state.outage is None
        and not (view.stale or view.overdue or state.restored)
    )


def venue_troubles(view: VenueView, *, is_late: bool = False) -> list[Trouble]:
    """Return what is wrong with a venue's stations, worst and newest first; `is_late` is what `is_current` is not."""
    found = list(_troubles(view))
    if is_late or not is_current(view):
        found = [
            Trouble(Level.QUIET, view, one.stations, one.kind, one.incident, Quiet.REMEMBERED)
            for one in found
            if one.stations
        ]
    return sorted(found, key=lambda one: (-one.level, -one.since, one.station_name))


def _troubles(view: VenueView) -> Iterator[Trouble]:
    stations = view.state.stations or {}
    off = {id_: one for id_, one in stations.items() if one.station.active is not True}
    incidents = view.state.incidents.values()
    for incident in incidents:  # of all stations at once
        if incident.station_id is None and incident.kind in _GROUPS:
            members = [off.pop(id_) for _, id_ in incident.members if id_ in off]
            if members:
                yield Trouble(_level(incident), view, _newest_first(members), incident.kind, incident)
    for incident in incidents:
        one = stations.get(incident.station_id or "")
        if incident.kind is IncidentKind.STATION_UNCLEAR:
            members = [stations[id_] for _, id_ in incident.members if id_ in stations]
            for member in members:
                off.pop(member.station.id, None)
            yield Trouble(Level.NOTICE, view, _newest_first(members), incident.kind, incident)
        elif incident.kind in _INACTIVE and one is not None and one.station.id in off:
            yield Trouble(_level(incident), view, (off.pop(one.station.id),), incident.kind, incident)
        elif incident.station_id is not None and incident.kind not in _INACTIVE:
            yield Trouble(_level(incident), view, (one,) if one else (), incident.kind, incident)
    for one in off.values():
        yield _without_incident(view, one)


def _without_incident(view: VenueView, one: StationState) -> Trouble:
    record = view.state.records.get(one.station.id)
    kind = IncidentKind.STATION_UNCLEAR if one.station.active is None else IncidentKind.STATION_INACTIVE
    if one.station.id in view.ignored:
        ends = [rule.until for rule in view.rules.ignore if rule.station in (one.station.id, one.station.name)]
        until = max(ends, default=inf)
        return Trouble(Level.QUIET, view, (one,), kind, None, Quiet.IGNORED, None if until == inf else until)
    if record is not None and record.retired:
        return Trouble(Level.QUIET, view, (one,), kind, None, Quiet.RETIRED)
    if view.opening is not None and not view.opening.is_open:
        return Trouble(Level.QUIET, view, (one,), kind, None, Quiet.CLOSED, view.opening.next_open)
    # Decided in the next moment: nothing that is wrong is held back until then.
    if one.station.kind is Kind.KITCHEN and one.station.active is False:
        return Trouble(Level.URGENT, view, (one,), IncidentKind.KITCHEN_STATION_INACTIVE)
    return Trouble(Level.NOTICE, view, (one,), kind)


def _level(incident: Incident) -> Level:
    return Level.URGENT if incident.severity is Severity.CRITICAL else Level.NOTICE


def _newest_first(stations: Iterable[StationState]) -> tuple[StationState, ...]:
    return tuple(sorted(stations, key=lambda one: (-one.since, one.station.name)))


def data_outages(brands: Iterable[BrandView], venues: Iterable[VenueView]) -> list[DataOutage]:
    """Return what keeps us from seeing, that of whole brands first: one for each outage."""
    by_brand: dict[str, list[VenueView]] = {}
    for view in venues:
        by_brand.setdefault(view.state.venue.brand, []).append(view)
    found = [one for brand in brands for one in _of_brand(brand, by_brand.get(brand.state.brand, []))]
    silent = [one for one in found if one.is_silent]
    if len(silent) > 1:  # Clopos is one service: whoever has several brands has one outage.
        found = [one for one in found if not one.is_silent]
        first = min((one.outage for one in silent), key=lambda outage: outage.since)
        views = [view for one in silent for view in one.views]
        names = [name for one in silent for name in one.brands]
        found.append(DataOutage(names, first, views, sum(one.total for one in silent), whole=True))
    return sorted(found, key=lambda one: (not one.whole, -len(one.views)))


def _of_brand(brand: BrandView, mine: Sequence[VenueView]) -> Iterator[DataOutage]:
    state, names = brand.state, [brand.state.brand]
    if state.login_outage is not None:
        # The venues' outages follow from this one.
        yield DataOutage(names, _as_notified(state, state.login_outage), mine, len(mine), login=True, whole=True)
        return
    lost = [view for view in mine if view.state.outage is not None]
    outages = [view.state.outage for view in lost if view.state.outage is not None]
    if outages and len(outages) == len(mine):
        (reason, _), *_ = Counter(outage.reason for outage in outages).most_common(1)
        first = min((one for one in outages if one.reason is reason), key=lambda outage: outage.since)
        yield DataOutage(names, _as_notified(state, first), lost, len(mine), whole=True)
        return
    if state.outage is not None:
        yield DataOutage(names, state.outage, total=len(mine), whole=not mine)
    for reason in dict.fromkeys(outage.reason for outage in outages):
        alike = [view for view in lost if view.state.outage is not None and view.state.outage.reason is reason]
        first = min((view.state.outage for view in alike if view.state.outage), key=lambda outage: outage.since)
        yield DataOutage(names, first, alike, len(mine))


def _as_notified(state: BrandState, outage: Outage) -> Outage:
    """Return an outage of a whole brand with the beginning that its incident and so the messages give."""
    whole = (IncidentKind.BRAND_UNREACHABLE, IncidentKind.LOGIN_FAILING)
    since = next((one.began_at for one in state.incidents.values() if one.kind in whole), outage.since)
    return replace(outage, since=since)


def level(view: VenueView, troubles: Sequence[Trouble], *, is_late: bool = False) -> Level:
    """Return how bad it is with a venue."""
    worst = troubles[0].level if troubles else Level.FINE
    lost = view.state.outage is not None or view.stale or view.overdue or is_late
    return max(worst, Level.NO_DATA) if lost else worst
