"""What else may be wrong with stations: printing disabled, flapping, removed by mistake, unclear."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from exporter.incidents.scene import FLAPPING, OTHER_DELAY, PRINTING, REMOVED, UNCLEAR, Scene, is_unclear
from exporter.model import Change, Ended, Event, IncidentKind, Kind, Station, StationRecord, StationState

UNCLEAR_SECONDS = 1800.0
"""Seconds after which somebody has to look at a status that is neither active nor inactive."""

FLAPPING_CHANGES, FLAPPING_SECONDS, CALM_SECONDS = 6, 3600.0, 1800.0
"""Status changes within so many seconds that are flapping, and the seconds without any that end it."""

NEWS_SECONDS = 12 * 3600.0
"""Seconds after which disabled printing or a removed station is taken for meant."""


def note(scene: Scene, changes: Iterable[Change]) -> None:
    """Note what a poll brought."""
    for change in changes:
        station = change.station
        if station is None or _is_ignored(scene, station.id, station.name):
            continue
        if change.event in (Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED) and scene.is_open:
            record = scene.records.get(station.id, StationRecord())
            transitions = (*record.transitions[1 - FLAPPING_CHANGES :], scene.wall)
            scene.records[station.id] = replace(record, transitions=transitions)
        elif change.event is Event.STATION_PRINTING_DISABLED:
            scene.hold_station(PRINTING, IncidentKind.PRINTING_DISABLED, scene.stations[station.id])
        elif change.event is Event.STATION_REMOVED and station.active:
            gone = StationState(station, station.active, station.printable, scene.wall)
            scene.hold_station(REMOVED, IncidentKind.STATION_REMOVED, gone)


def assess(scene: Scene) -> None:
    """Decide about printing, flapping, removed and unclear stations."""
    _printing(scene)
    _flapping(scene)
    _removed(scene)
    _unclear(scene)


def _printing(scene: Scene) -> None:
    for key in scene.ledger.keys(PRINTING):
        id_ = key.removeprefix(PRINTING)
        station_state = scene.stations.get(id_)
        if station_state is None:
            scene.ledger.end(key, Ended.REMOVED)
        elif id_ in scene.ignored:
            scene.ledger.end(key, Ended.IGNORED)
        elif station_state.printing is not False:
            scene.ledger.end(key, Ended.RECOVERED)
        elif station_state.status is True and not is_unclear(station_state):
            _fire_as_news(scene, key, scene.rules.delay)


def _removed(scene: Scene) -> None:
    keys = scene.ledger.keys(REMOVED)
    names = {station_state.station.name for station_state in scene.stations.values()} if keys else set()
    for key in keys:
        id_, name = scene.ledger.now[key].station_id or "", scene.ledger.now[key].station or ""
        if id_ in scene.stations or name in names:
            scene.ledger.end(key, Ended.RECOVERED)
        elif _is_ignored(scene, id_, name):
            scene.ledger.end(key, Ended.IGNORED)
        else:
            _fire_as_news(scene, key, scene.rules.delay + OTHER_DELAY)


def _fire_as_news(scene: Scene, key: str, delay: float) -> None:
    """Let an incident fire in opening hours, and end once it has done so for very long."""
    if not scene.is_open:
        return
    scene.ledger.fire(key, scene.ledger.now[key].began_at + delay)
    incident = scene.ledger.now[key]
    if incident.fired_at is not None:
        until = incident.fired_at + NEWS_SECONDS
        if scene.wall >= until:
            scene.ledger.end(key, Ended.RETIRED)
        else:
            scene.ledger.look(until)


def _flapping(scene: Scene) -> None:
    ledger = scene.ledger
    for key in ledger.keys(FLAPPING):
        id_ = key.removeprefix(FLAPPING)
        if id_ not in scene.records:
            ledger.end(key, Ended.REMOVED)
        elif id_ in scene.ignored:
            ledger.end(key, Ended.IGNORED)
        else:
            calm_at = scene.records[id_].transitions[-1] + CALM_SECONDS
            if scene.wall >= calm_at:
                ledger.end(key, Ended.RECOVERED)
            else:
                ledger.look(calm_at)
    for id_, record in scene.records.items():
        at = record.transitions
        if (
            scene.is_open
            and len(at) >= FLAPPING_CHANGES
            and at[-1] == scene.wall  # only with a change: one that has calmed down does not begin again by itself
            and at[-1] - at[0] < FLAPPING_SECONDS
        ):
            scene.hold_station(FLAPPING, IncidentKind.STATION_FLAPPING, scene.stations[id_])
            ledger.fire(FLAPPING + id_, scene.wall)
            ledger.look(scene.wall + CALM_SECONDS)


def _unclear(scene: Scene) -> None:
    """Decide about what is unclear: one incident for all of a venue's stations, and for rows that cannot be read."""
    ledger, state = scene.ledger, scene.state
    unclear = [id_ for id_, one in scene.stations.items() if id_ not in scene.ignored and _is_odd(one.station)]
    if not unclear and state.partial_since is None:
        ledger.end(UNCLEAR, Ended.RECOVERED)
        return
    incident = ledger.hold(UNCLEAR, IncidentKind.STATION_UNCLEAR, venue=state.venue)
    before = incident.details.get("since", {})
    since = {id_: before.get(id_, scene.wall) for id_ in unclear}
    if state.partial_since is not None:
        since[""] = state.partial_since
    ledger.update(UNCLEAR, members=tuple((state.venue.id, id_) for id_ in unclear), details={"since": since})
    ledger.fire(UNCLEAR, min(since.values()) + UNCLEAR_SECONDS)


def _is_odd(station: Station) -> bool:
    return station.active is None or station.kind is Kind.UNKNOWN


def _is_ignored(scene: Scene, id_: str, name: str) -> bool:
    return any(rule.station in (id_, name) and scene.wall < rule.until for rule in scene.rules.ignore)
