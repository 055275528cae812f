"""What changed: the old state and an outcome make the new state and the changes to report.

Pure: no clock, no log, no store. Whatever is decided about a station, a venue or a brand is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from exporter.model import (
    DEFAULT_VENUE,
    EMPTY,
    Absence,
    BrandState,
    Change,
    Discovery,
    Event,
    Failure,
    Instant,
    LoggedIn,
    Outage,
    Reason,
    Snapshot,
    Station,
    StationState,
    VenueState,
)
from exporter.texts import remedy

CONFIRMING = 2
"""Complete answers in a row that must lack a station or venue before it counts as removed.

Offset paging over a table that is being edited can skip a row, so one absence proves nothing.
"""

CONFIRMING_SECONDS = 60.0
"""Seconds that must lie between two venue lists for both to count: two quick reloads prove nothing."""

CONFIRMING_MOST = Absence(3, 1800.0)
"""How often and for how long, in seconds, most of a brand's venues must be missing before they count as removed."""

AFTER_RESTART = "after_restart"
"""How a change is marked that happened while the exporter was not running."""

AFTER_TAKEOVER = "after_takeover"
"""How it is marked where another process polled the brand before."""


def advance(state: VenueState, outcome: Snapshot | Failure) -> tuple[VenueState, list[Change]]:
    """Decide what a poll of a venue means.

    A poll that our own quota did not allow is a failed one, but no outage of the venue: it is not reported.
    """
    venue, at = state.venue, outcome.at
    if isinstance(outcome, Failure):
        outage, changes = state.outage, []
        if outage is None or (_is_throttled(outage) and outcome.reason is not Reason.THROTTLED):
            outage = Outage(at.wall, outcome.reason, outcome.message, at.monotonic)
            changes = [] if _is_throttled(outage) else [_lost(state, outcome)]
        return (
            replace(
                state,
                polls=state.polls + 1,
                failures=state.failures + 1,
                last_duration=outcome.duration,
                polled_at=at.monotonic,
                outage=outage,
            ),
            changes,
        )
    ended = None if state.outage is None or _is_throttled(state.outage) else state.outage
    changes = [] if ended is None else [_recovered(state, ended, at)]
    noted = {"detected": AFTER_RESTART} if state.restored else EMPTY
    stations = dict(state.stations or {})
    transitions = dict(state.transitions)
    differing = list(_compare(state.stations, outcome))
    for station_state, station, found in differing:
        if station_state is None:
            del stations[station.id]
        else:
            stations[station.id] = station_state
        for event, details in found:
            changes.append(Change(event, venue.brand, at.wall, venue, station, {**details, **noted}))
            if event in (Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED):
                key = (station.kind, event is Event.STATION_ACTIVATED)
                transitions[key] = transitions.get(key, 0) + 1
    return (
        replace(
            state,
            stations=stations if differing or state.stations is None else state.stations,
            transitions=state.transitions if transitions == state.transitions else transitions,
            polls=state.polls + 1,
            last_success=at.wall,
            last_duration=outcome.duration,
            fresh_at=at.monotonic,
            polled_at=at.monotonic,
            requests=outcome.requests,
            outage=None,
            restored=False,
            partial_since=(state.partial_since or at.wall) if outcome.unusable else None,
        ),
        changes,
    )


def advance_brand(
    state: BrandState, outcome: Discovery | LoggedIn | Failure, *, confirming_seconds: float = CONFIRMING_SECONDS
) -> tuple[BrandState, list[Change]]:
    """Decide what a login or a venue discovery of a brand means.

    The first discovery reports nothing: the venues were there before we looked. A venue is removed when two discoveries
    at least `confirming_seconds` apart did not list it, or when the configuration lists others; a list that lost most
    venues has to be confirmed for longer. A failure that is not the login's says nothing of the login. A success that
    began before the login failed does not end that outage, and neither does one for which no token was used: a login
    may succeed whose token is refused.
    """
    at = outcome.at
    if isinstance(outcome, Failure):
        outage = Outage(at.wall, outcome.reason, outcome.message, at.monotonic)
        if not outcome.brand_wide:
            if state.login_outage:
                return replace(state, seen=True), []  # Nothing can be listed without a login: still the one outage.
            changes = [] if state.outage else [_brand_failed(Event.BRAND_DISCOVERY_FAILED, state, outcome)]
            return replace(state, outage=state.outage or outage, seen=True), changes
        changes = [] if state.login_outage else [_brand_failed(Event.BRAND_LOGIN_FAILED, state, outcome)]
        outage = state.login_outage or outage
        if outcome.reason.is_configuration and not outage.reason.is_configuration:
            # An answer at last: what a person has to mend says more than that there was none.
            outage = replace(outage, reason=outcome.reason, message=outcome.message)
        return replace(state, login_outage=outage, seen=True), changes
    login_outage, changes = state.login_outage, []
    proven = isinstance(outcome, LoggedIn) or outcome.token_used
    if login_outage is not None and proven and _is_newer(outcome, login_outage):
        changes.append(_brand_recovered(Event.BRAND_LOGIN_RECOVERED, state, login_outage, at))
        login_outage = None
    if isinstance(outcome, LoggedIn):
        return replace(state, login_outage=login_outage, seen=True), changes
    if state.outage is not None:
        changes.append(_brand_recovered(Event.BRAND_DISCOVERY_RECOVERED, state, state.outage, at))
    listed = {venue.id: venue for venue in outcome.venues}
    known = {venue.id: venue for venue in state.venues or ()}
    # Clopos lists the token's own venue under its real id: the other one goes with the first list.
    gone = {id_ for id_ in known.keys() - listed.keys() if outcome.listed or (listed and id_ == DEFAULT_VENUE)}
    unlisted = [id_ for id_ in known if id_ not in listed and id_ not in gone]
    absent = {id_: _absent_again(state.missing.get(id_), at.wall) for id_ in unlisted}
    most = 2 * len(absent) > len(known)
    needed = CONFIRMING_MOST if most else Absence(CONFIRMING, confirming_seconds)
    removed = gone | {
        id_
        for id_, absence in absent.items()
        if absence.times >= needed.times and at.wall - absence.since >= needed.since
    }
    noted = {"detected": AFTER_RESTART} if state.restored else EMPTY
    if state.venues is not None:
        added = [venue for id_, venue in listed.items() if id_ not in known]
        changes += [Change(Event.VENUE_ADDED, state.brand, at.wall, venue, details=noted) for venue in added]
        changes += [
            Change(Event.VENUE_REMOVED, state.brand, at.wall, known[id_], details=noted) for id_ in sorted(removed)
        ]
    missing = {id_: absence for id_, absence in absent.items() if id_ not in removed}
    if most and missing and 2 * len(state.missing) <= len(known):
        changes.append(_venues_missing(state.brand, at.wall, len(missing), len(known)))
    venues = (*outcome.venues, *(known[id_] for id_ in missing))
    return BrandState(state.brand, venues, missing, login_outage, seen=True, incidents=state.incidents), changes


def _compare(
    known: Mapping[str, StationState] | None, outcome: Snapshot
) -> Iterator[tuple[StationState | None, Station, list[tuple[Event, dict[str, Any]]]]]:
    """Yield for each station that differs from its state: the new state (None: gone), the row, what to report."""
    first_sight = known is None
    known = known or {}
    at = outcome.at
    for station in outcome.stations:
        station_state = known.get(station.id)
        if station_state is None:
            found: list[tuple[Event, dict[str, Any]]] = [] if first_sight else [(Event.STATION_ADDED, {})]
            if station.active is False:
                found.append((Event.STATION_FOUND_INACTIVE, {}))
            new = StationState(station, station.active, station.printable, since=at.wall, since_monotonic=at.monotonic)
            yield new, station, found
        elif (row := _with_edit_time(station, station_state)) != station_state.station or station_state.missing:
            yield _update(station_state, row, at), row, list(_differences(station_state, row, at))
    if outcome.unusable:
        return  # Absence from a list that may lack rows proves nothing.
    present = {station.id for station in outcome.stations}
    for id_, station_state in known.items():
        if id_ in present:
            continue
        if station_state.missing + 1 >= CONFIRMING:
            yield None, station_state.station, [(Event.STATION_REMOVED, {})]
        else:
            yield replace(station_state, missing=station_state.missing + 1), station_state.station, []


def _with_edit_time(station: Station, station_state: StationState) -> Station:
    """Keep the last edit time where Clopos gives none for a while."""
    if station.updated_at is None and station_state.station.updated_at is not None:
        return replace(station, updated_at=station_state.station.updated_at)
    return station


def _update(station_state: StationState, station: Station, at: Instant) -> StationState:
    """Take the new row in; a status that is neither active nor inactive keeps the last clear one."""
    printing = station_state.printing if station.printable is None else station.printable
    if station.active is None or station.active is station_state.status:
        return replace(station_state, station=station, printing=printing, missing=0)
    transition = station_state.last_transition if station_state.status is None else at.wall
    return StationState(
        station,
        station.active,
        printing,
        since=at.wall,
        last_transition=transition,
        is_unedited=_is_unedited(station, station_state.station),
        since_monotonic=at.monotonic,
    )


def _is_unedited(station: Station, before: Station) -> bool:
    """Return whether the edit time did not move on: what changes a database beside the API need not move it."""
    edited, known = station.updated_at, before.updated_at
    return edited is not None and known is not None and edited <= known


def _differences(station_state: StationState, station: Station, at: Instant) -> Iterator[tuple[Event, dict[str, Any]]]:
    """Name what differs between the state of a station and its new row."""
    old = station_state.station
    nothing_else = True
    if station.active is not None and station.active is not station_state.status:
        nothing_else = False
        if station_state.status is not None:
            event = Event.STATION_ACTIVATED if station.active else Event.STATION_DEACTIVATED
            yield event, _previous_for(station_state, None if _is_unedited(station, old) else station.updated_at, at)
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
    # Before there was an edit time at all, nothing can have moved it.
    if nothing_else and None not in (station.updated_at, old.updated_at) and station.updated_at != old.updated_at:
        yield Event.STATION_TOUCHED, {}


def _previous_for(station_state: StationState, edited_at: float | None, at: Instant) -> dict[str, float]:
    """Return how long the status before lasted: a minimum where it was there when we first looked.

    `edited_at` is when Clopos says that the station was changed, epoch seconds.
    """
    exact = station_state.last_transition == station_state.since
    seconds = _seconds(station_state.since, station_state.since_monotonic, at)
    is_between = edited_at is not None and station_state.since <= edited_at < at.wall
    if edited_at is not None and is_between and (not exact or station_state.since_monotonic is None):
        # Known until the edit only: polls may have failed since, or the exporter was not running.
        seconds = round(max(0.0, seconds - (at.wall - edited_at)), 3)
    return {"previous_for_seconds" if exact else "previous_for_at_least_seconds": seconds}


def _lost(state: VenueState, failure: Failure) -> Change:
    reason = failure.reason
    details = {
        "reason": reason.value,
        "message": failure.message,
        **_unread_for(state, failure.at),
        **({"remedy": remedy(reason)} if reason.is_configuration else {}),
    }
    return Change(Event.VENUE_LOST, state.venue.brand, failure.at.wall, state.venue, details=details)


def _recovered(state: VenueState, outage: Outage, at: Instant) -> Change:
    details = {
        "reason": outage.reason.value,
        "message": outage.message,
        **(_unread_for(state, at) or {"down_for_seconds": _seconds(outage.since, outage.since_monotonic, at)}),
    }
    return Change(Event.VENUE_RECOVERED, state.venue.brand, at.wall, state.venue, details=details)


def _unread_for(state: VenueState, at: Instant) -> dict[str, float]:
    """Return the time since the last complete poll, nothing where this process made none."""
    if state.restored or state.last_success is None:
        return {}
    return {"down_for_seconds": _seconds(state.last_success, state.fresh_at, at)}


def _brand_failed(event: Event, state: BrandState, failure: Failure) -> Change:
    reason = failure.reason
    details: dict[str, Any] = {"reason": reason.value, "message": failure.message, "remedy": remedy(reason)}
    if event is Event.BRAND_LOGIN_FAILED and not reason.is_configuration:
        details["outage"] = True  # Nobody answered the login: the credentials may well be good.
    return Change(event, state.brand, failure.at.wall, details=details)


def _brand_recovered(event: Event, state: BrandState, outage: Outage, at: Instant) -> Change:
    seconds = _seconds(outage.since, outage.since_monotonic, at)
    details = {"reason": outage.reason.value, "down_for_seconds": seconds}
    return Change(event, state.brand, at.wall, details=details)


def _venues_missing(brand: str, wall: float, missing: int, known: int) -> Change:
    message = f"Clopos no longer lists {missing} of {known} venues; they are kept until it has said so for half an hour"
    return Change(Event.BRAND_VENUES_MISSING, brand, wall, details={"message": message})


def _absent_again(absence: Absence | None, wall: float) -> Absence:
    # A clock that was set back must not make the first absence one of the future.
    return Absence(1, wall) if absence is None else Absence(absence.times + 1, min(absence.since, wall))


def _is_throttled(outage: Outage) -> bool:
    return outage.reason is Reason.THROTTLED


def _is_newer(outcome: Discovery | LoggedIn, outage: Outage) -> bool:
    """Return whether an outcome began after a failure; what was under way then says nothing about it."""
    return outage.since_monotonic is None or outcome.at.monotonic - outcome.duration >= outage.since_monotonic


def _seconds(since: float, since_monotonic: float | None, at: Instant) -> float:
    """Return the seconds since a moment: by the monotonic clock within this process, else by the wall clock."""
    elapsed = at.wall - since if since_monotonic is None else at.monotonic - since_monotonic
    return round(max(0.0, elapsed), 3)
