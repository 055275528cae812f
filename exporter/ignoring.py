"""Which stations of a venue the configuration leaves out of the alerts, and until when: pure, time passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from math import inf
from typing import NamedTuple

from exporter.model import StationState


class IgnoreRule(NamedTuple):
    """A station, by id or by name, to be left out of the alerts until an epoch second."""

    station: str
    until: float = inf


def end_of(day: date, zone: tzinfo) -> float:
    """Return the epoch second at which a day ends in a time zone, which is when an `until` date is over."""
    return datetime.combine(day + timedelta(days=1), time(), zone).timestamp()


def ignored(stations: Mapping[str, StationState], rules: Iterable[IgnoreRule], wall: float) -> frozenset[str]:
    """Return the ids of the stations that a rule names now, by id or by the name they have now."""
    named = {rule.station for rule in rules if wall < rule.until}
    if not named:
        return frozenset()
    return frozenset(
        key for key, station_state in stations.items() if key in named or station_state.station.name in named
    )


def next_ignore_change(rules: Iterable[IgnoreRule], wall: float) -> float:
    """Return the epoch second at which the next rule ends, infinity where none does."""
    return min((rule.until for rule in rules if wall < rule.until), default=inf)
