"""A venue at the moment at which it is assessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from exporter.ignoring import ignored
from exporter.incidents.ledger import Ledger
from exporter.incidents.values import BrandSituation, IncidentRules
from exporter.model import EMPTY, Ended, IncidentKind, Instant, Opening, Outage, Reason, StationState, VenueState

OTHER_DELAY = 180.0
"""Seconds that anything but a kitchen station may be inactive for longer."""

PREPARING_SECONDS = 1800.0
"""Seconds before opening from which on stations have to be ready."""

INACTIVE, PRINTING, FLAPPING, REMOVED = "inactive:", "printing:", "flapping:", "removed:"
VENUE, UNCLEAR, STALE = "venue", "unclear", "stale"
"""Keys of the incidents of a venue; the first four go before the id of a station."""

_ALWAYS = Opening(is_open=True, next_open=None, next_close=None)


class VenueContext:
    """What is known of a venue and its rules now, and the ledger in which incidents are decided.

    `is_known` says that the newest poll was complete and is not too old, `is_live` that the venue is open or about to
    open. `outage` is the one of its polls, or that there were none for too long.
    """

    def __init__(self, state: VenueState, rules: IncidentRules, now: Instant, situation: BrandSituation) -> None:
        self.state, self.rules, self.situation = state, rules, situation
        self.wall = now.wall
        self.opening = rules.hours.at(now.wall) if rules.hours else _ALWAYS
        self.is_open = self.opening.is_open
        opens_at = self.opening.next_open
        self.is_live = self.is_open or (opens_at is not None and opens_at - PREPARING_SECONDS <= now.wall)
        self.outage = state.outage or self._silence(now)
        self.is_known = self.outage is None and not state.restored and state.stations is not None
        self.stations: Mapping[str, StationState] = state.stations or {}
        self.ignored = ignored(self.stations, rules.ignore, now.wall)
        self.records = dict(state.records)
        self.ledger = Ledger(state.incidents, state.venue.brand, now.wall)
        if self.outage is None and state.fresh_at is not None:
            self.ledger.look(now.wall + max(1.0, state.fresh_at + rules.stale_after - now.monotonic))

    def _silence(self, now: Instant) -> Outage | None:
        """Return the outage of a venue that is not polled: a quota that is used up, a fault that ends every poll."""
        fresh_at = self.state.fresh_at
        if fresh_at is None or self.state.restored or now.monotonic < fresh_at + self.rules.stale_after:
            return None
        since = now.wall + fresh_at - now.monotonic
        return Outage(since, Reason.THROTTLED, "no poll could be made for so long", fresh_at)

    def is_watched(self, id_: str) -> bool:
        """Return whether a station counts: neither ignored nor off for good."""
        record = self.records.get(id_)
        return id_ not in self.ignored and not (record is not None and record.retired)

    def is_candidate(self, id_: str) -> bool:
        """Return whether a station counts and is inactive, as far as is known."""
        return self.stations[id_].status is False and self.is_watched(id_)

    def excused(self) -> dict[tuple[str, str], Ended]:
        """Return why inactive stations do not count."""
        return {
            (self.state.venue.id, id_): Ended.IGNORED if id_ in self.ignored else Ended.RETIRED
            for id_, station_state in self.stations.items()
            if station_state.status is False and not self.is_watched(id_)
        }

    def stations_with(self, prefix: str) -> Iterator[tuple[str, StationState]]:
        """Yield key and station of each incident of a kind, and end those whose station is gone or ignored."""
        for key in self.ledger.keys(prefix):
            station_state = self.stations.get(key.removeprefix(prefix))
            if station_state is None:
                self.ledger.end(key, Ended.REMOVED)
            elif station_state.station.id in self.ignored:
                self.ledger.end(key, Ended.IGNORED)
            else:
                yield key, station_state

    def hold_station(self, prefix: str, kind: IncidentKind, station_state: StationState) -> None:
        """Hold an incident of a station."""
        station = station_state.station
        details: Mapping[str, Any] = EMPTY
        if prefix == INACTIVE:
            at, is_exact = holds_since(station_state)
            since = {"since" if is_exact else "since_at_least": at}
            edited = {} if station.updated_at is None else {"edited_at": station.updated_at}
            details = {**since, **edited}
        self.ledger.hold(
            prefix + station.id,
            kind,
            venue=self.state.venue,
            station_id=station.id,
            station=station.name,
            station_kind=station.kind,
            details=details,
        )

    def result(self) -> VenueState:
        """Return the state with what was decided; mappings in which nothing changed stay the same objects."""
        state = self.state
        records = state.records if self.records == state.records else self.records
        incidents = self.ledger.incidents
        if incidents is state.incidents and records is state.records:
            return state
        return replace(state, incidents=incidents, records=records)


def is_unclear(station_state: StationState) -> bool:
    """Return whether the newest poll did not say what the status is."""
    return station_state.station.active is None or station_state.missing > 0


def holds_since(station_state: StationState) -> tuple[float, bool]:
    """Return from when the status of a station holds, epoch seconds, and whether it began then rather than before."""
    if station_state.last_transition == station_state.since:
        return switched_at(station_state), True
    return station_state.since, False


def switched_at(station_state: StationState) -> float:
    """Return when a station was switched: its edit time, unless that did not move with it or moved again since."""
    edited = station_state.station.updated_at
    return station_state.since if edited is None or station_state.is_unedited else min(edited, station_state.since)
