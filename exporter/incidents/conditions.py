"""What else may be wrong with stations: printing disabled, flapping, removed by mistake, unclear."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from exporter.incidents.context import FLAPPING, OTHER_DELAY, PRINTING, REMOVED, UNCLEAR, VenueContext, is_unclear
from exporter.model import Change, Ended, Event, IncidentKind, Kind, Station, StationRecord, StationState

UNCLEAR_SECONDS = 1800.0
"""Seconds after which somebody has to look at a status that is neither active nor inactive."""

FLAPPING_CHANGES, FLAPPING_SECONDS, CALM_SECONDS = 6, 3600.0, 1800.0
"""Status changes within so many seconds that are flapping, and the seconds without any that end it."""

NEWS_SECONDS = 12 * 3600.0
"""Seconds after which disabled printing or a removed station is taken for meant."""


def note(context: VenueContext, changes: Iterable[Change]) -> None:
    """Note what a poll brought."""
    for change in changes:
        station = change.station
        if station is None or _is_ignored(context, station.id, station.name):
            continue
        if change.event in (Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED) and context.is_open:
            record = context.records.get(station.id, StationRecord())
            transitions = (*record.transitions[1 - FLAPPING_CHANGES :], context.wall)
            context.records[station.id] = replace(record, transitions=transitions)
        elif change.event is Event.STATION_PRINTING_DISABLED:
            context.hold_station(PRINTING, IncidentKind.PRINTING_DISABLED, context.stations[station.id])
        elif change.event is Event.STATION_REMOVED and station.active:
            gone = StationState(station, station.active, station.printable, context.wall)
            context.hold_station(REMOVED, IncidentKind.STATION_REMOVED, gone)


def assess(context: VenueContext) -> None:
    """Decide about printing, flapping, removed and unclear stations."""
    _printing(context)
    _flapping(context)
    _removed(context)
    _unclear(context)


def _printing(context: VenueContext) -> None:
    for key, station_state in context.stations_with(PRINTING):
        if station_state.printing is not False:
            context.ledger.end(key, Ended.RECOVERED)
        elif station_state.status is True and not is_unclear(station_state):
            _fire_as_news(context, key, context.rules.delay)


def _removed(context: VenueContext) -> None:
    keys = context.ledger.keys(REMOVED)
    names = {station_state.station.name for station_state in context.stations.values()} if keys else set()
    for key in keys:
        id_, name = context.ledger.now[key].station_id or "", context.ledger.now[key].station or ""
        if id_ in context.stations or name in names:
            context.ledger.end(key, Ended.RECOVERED)
        elif _is_ignored(context, id_, name):
            context.ledger.end(key, Ended.IGNORED)
        else:
            _fire_as_news(context, key, context.rules.delay + OTHER_DELAY)


def _fire_as_news(context: VenueContext, key: str, delay: float) -> None:
    """Let an incident fire in opening hours, and end once it has done so for very long."""
    if not context.is_open:
        return
    context.ledger.fire(key, context.ledger.now[key].began_at + delay)
    incident = context.ledger.now[key]
    if incident.fired_at is not None:
        until = incident.fired_at + NEWS_SECONDS
        if context.wall >= until:
            context.ledger.end(key, Ended.RETIRED)
        else:
            context.ledger.look(until)


def _flapping(context: VenueContext) -> None:
    ledger = context.ledger
    for key, station_state in context.stations_with(FLAPPING):
        calm_at = context.records[station_state.station.id].transitions[-1] + CALM_SECONDS
        if context.wall >= calm_at:
            ledger.end(key, Ended.RECOVERED)
        else:
            ledger.look(calm_at)
    for id_, record in context.records.items():
        at = record.transitions
        if (
            context.is_open
            and len(at) >= FLAPPING_CHANGES
            and at[-1] == context.wall  # only with a change: one that has calmed down does not begin again by itself
            and at[-1] - at[0] < FLAPPING_SECONDS
        ):
            context.hold_station(FLAPPING, IncidentKind.STATION_FLAPPING, context.stations[id_])
            ledger.fire(FLAPPING + id_, context.wall)
            ledger.look(context.wall + CALM_SECONDS)


def _unclear(context: VenueContext) -> None:
    """Decide about what is unclear: one incident for all of a venue's stations, and for rows that cannot be read."""
    ledger, state = context.ledger, context.state
    unclear = [id_ for id_, one in context.stations.items() if id_ not in context.ignored and _is_odd(one.station)]
    if not unclear and state.partial_since is None:
        ledger.end(UNCLEAR, Ended.RECOVERED)
        return
    incident = ledger.hold(UNCLEAR, IncidentKind.STATION_UNCLEAR, venue=state.venue)
    before = incident.details.get("since", {})
    since = {id_: before.get(id_, context.wall) for id_ in unclear}
    if state.partial_since is not None:
        since[""] = state.partial_since
    ledger.update(UNCLEAR, members=tuple((state.venue.id, id_) for id_ in unclear), details={"since": since})
    ledger.fire(UNCLEAR, min(since.values()) + UNCLEAR_SECONDS)


def _is_odd(station: Station) -> bool:
    return station.active is None or station.kind is Kind.UNKNOWN


def _is_ignored(context: VenueContext, id_: str, name: str) -> bool:
    return any(rule.station in (id_, name) and context.wall < rule.until for rule in context.rules.ignore)
