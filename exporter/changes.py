"""What changed: the old state and an outcome make the new state and the changes to tell.

Pure: no clock, no log, no store. Whatever is decided about a station, a venue or a brand is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from exporter.model import (
    EMPTY,
    BrandState,
    Change,
    Discovery,
    Event,
    Failure,
    LoggedIn,
    Outage,
    Snapshot,
    Station,
    StationState,
    VenueState,
)

CONFIRMING = 2
"""Complete answers in a row that must lack a station or venue before it counts as removed.

Offset paging over a table that is being edited can skip a row, so one absence proves nothing.
"""

AFTER_RESTART = "after_restart"
"""How a change is marked that happened while the exporter was not running."""


def advance(state: VenueState, outcome: Snapshot | Failure) -> tuple[VenueState, list[Change]]:
    """Decide what a poll of a venue means."""
    venue, at = state.venue, outcome.at
    if isinstance(outcome, Failure):
        changes = [] if state.outage else [_lost(state, outcome)]
        outage = state.outage or Outage(at.wall, outcome.reason, outcome.message)
        return (
            replace(
                state,
                polls=state.polls + 1,
                failures=state.failures + 1,
                last_duration=outcome.duration,
                outage=outage,
            ),
            changes,
        )
    changes = [] if state.outage is None else [_recovered(state, state.outage, at.wall)]
    noted = {"detected": AFTER_RESTART} if state.restored else EMPTY
    stations = dict(state.stations or {})
    transitions = dict(state.transitions)
    for station_state, station, told in _compare(state.stations, outcome.stations, at.wall):
        if station_state is None:
            del stations[station.id]
        else:
            stations[station.id] = station_state
        for event, details in told:
            changes.append(Change(event, venue.brand, at.wall, venue, station, {**details, **noted}))
            if event in (Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED):
                key = (station.kind, event is Event.STATION_ACTIVATED)
                transitions[key] = transitions.get(key, 0) + 1
    same = state.stations is not None and _same(stations, state.stations)
    return (
        replace(
            state,
            stations=state.stations if same else stations,
            transitions=state.transitions if transitions == state.transitions else transitions,
            polls=state.polls + 1,
            last_success=at.wall,
            last_duration=outcome.duration,
            fresh_at=at.monotonic,
            requests=outcome.requests,
            outage=None,
            restored=False,
        ),
        changes,
    )


def advance_brand(state: BrandState, outcome: Discovery | LoggedIn | Failure) -> tuple[BrandState, list[Change]]:
    """Decide what a login or a venue discovery of a brand means.

    The first discovery tells nothing: the venues were there before we looked. A venue is removed when two discoveries
    in a row did not list it, or when the configuration lists others. A failure that is not the login's says nothing of
    the login.
    """
    at = outcome.at.wall
    if isinstance(outcome, Failure):
        outage = Outage(at, outcome.reason, outcome.message)
        if not outcome.brand_wide:
            return replace(state, outage=state.outage or outage, seen=True), []
        told = [] if state.login_outage else [_login_failed(state, outcome)]
        return replace(state, login_outage=state.login_outage or outage, seen=True), told
    changes = [] if state.login_outage is None else [_login_recovered(state, state.login_outage, at)]
    if isinstance(outcome, LoggedIn):
        return replace(state, login_outage=None, seen=True), changes
    listed = {venue.id: venue for venue in outcome.venues}
    known = {venue.id: venue for venue in state.venues or ()}
    absent = {id_: state.missing.get(id_, 0) + 1 for id_ in known if id_ not in listed}
    removed = {id_ for id_, times in absent.items() if outcome.listed or times >= CONFIRMING}
    noted = {"detected": AFTER_RESTART} if state.restored else EMPTY
    if state.venues is not None:
        added = [venue for id_, venue in listed.items() if id_ not in known]
        changes += [Change(Event.VENUE_ADDED, state.brand, at, venue, details=noted) for venue in added]
        changes += [Change(Event.VENUE_REMOVED, state.brand, at, known[id_], details=noted) for id_ in sorted(removed)]
    missing = {id_: times for id_, times in absent.items() if id_ not in removed}
    venues = (*outcome.venues, *(known[id_] for id_ in missing))
    return BrandState(state.brand, venues, missing, seen=True), changes


def _compare(
    known: Mapping[str, StationState] | None, rows: Sequence[Station], wall: float
) -> Iterator[tuple[StationState | None, Station, list[tuple[Event, dict[str, Any]]]]]:
    """Yield for each station that differs from what is known: the new record (None: gone), the row, what to tell."""
    first_sight = known is None
    known = known or {}
    for station in rows:
        station_state = known.get(station.id)
        if station_state is None:
            told: list[tuple[Event, dict[str, Any]]] = [] if first_sight else [(Event.STATION_ADDED, {})]
            if station.active is False:
                told.append((Event.STATION_FOUND_INACTIVE, {}))
            yield StationState(station, station.active, station.printable, since=wall), station, told
        elif station != station_state.station or station_state.missing:
            yield _update(station_state, station, wall), station, list(_differences(station_state, station, wall))
    present = {station.id for station in rows}
    for id_, station_state in known.items():
        if id_ in present:
            continue
        if station_state.missing + 1 >= CONFIRMING:
            yield None, station_state.station, [(Event.STATION_REMOVED, {})]
        else:
            yield replace(station_state, missing=station_state.missing + 1), station_state.station, []


def _update(station_state: StationState, station: Station, wall: float) -> StationState:
    """Take the new row in; a status that is neither active nor inactive keeps the last clear one."""
    printing = station_state.printing if station.printable is None else station.printable
    if station.active is None or station.active is station_state.status:
        return replace(station_state, station=station, printing=printing, missing=0)
    transition = station_state.last_transition if station_state.status is None else wall
    return StationState(station, station.active, printing, since=wall, last_transition=transition)


def _differences(station_state: StationState, station: Station, wall: float) -> Iterator[tuple[Event, dict[str, Any]]]:
    """Name what differs between what is known of a station and its new row."""
    old = station_state.station
    nothing_else = True
    if station.active is not None and station.active is not station_state.status:
        nothing_else = False
        if station_state.status is not None:
            event = Event.STATION_ACTIVATED if station.active else Event.STATION_DEACTIVATED
            yield event, {"previous_for_seconds": _seconds(station_state.since, wall)}
        elif not station.active:
            yield Event.STATION_FOUND_INACTIVE, {}
    if station.name != old.name:
        nothing_else = False
        yield Event.STATION_RENAMED, {"previous": old.name}
    if station.kind is not old.kind:
        nothing_else = False
        yield Event.STATION_KIND_CHANGED, {"previous": old.kind.value}
    if None not in (station.printable, station_state.printing) and station.printable is not station_state.printing:
        nothing_else = False
        event = Event.STATION_PRINTING_ENABLED if station.printable else Event.STATION_PRINTING_DISABLED
        yield event, {"previous": station_state.printing}
    if nothing_else and station.updated_at != old.updated_at:
        yield Event.STATION_TOUCHED, {}


def _lost(state: VenueState, failure: Failure) -> Change:
    at, reason = failure.at.wall, failure.reason
    details = {
        "reason": reason.value,
        "message": failure.message,
        "down_for_seconds": _seconds(state.last_success, at),
        **({"remedy": reason.remedy} if reason.is_configuration else {}),
    }
    return Change(Event.VENUE_LOST, state.venue.brand, at, state.venue, details=details)


def _recovered(state: VenueState, outage: Outage, at: float) -> Change:
    details = {
        "reason": outage.reason.value,
        "message": outage.message,
        "down_for_seconds": _seconds(state.last_success or outage.since, at),
    }
    return Change(Event.VENUE_RECOVERED, state.venue.brand, at, state.venue, details=details)


def _login_failed(state: BrandState, failure: Failure) -> Change:
    reason = failure.reason
    details = {"reason": reason.value, "message": failure.message, "remedy": reason.remedy}
    return Change(Event.BRAND_LOGIN_FAILED, state.brand, failure.at.wall, details=details)


def _login_recovered(state: BrandState, outage: Outage, at: float) -> Change:
    details = {"reason": outage.reason.value, "down_for_seconds": _seconds(outage.since, at)}
    return Change(Event.BRAND_LOGIN_RECOVERED, state.brand, at, details=details)


def _seconds(since: float | None, until: float) -> float:
    """Give the seconds between two wall times: zero where the first is unknown or the clock was set back."""
    return 0.0 if since is None else round(max(0.0, until - since), 3)


def _same(new: Mapping[str, StationState], old: Mapping[str, StationState]) -> bool:
    """Tell whether nothing was replaced, added or removed."""
    return len(new) == len(old) and all(old.get(id_) is station_state for id_, station_state in new.items())
