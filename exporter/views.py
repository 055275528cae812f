"""What readers see: the state of a venue or brand together with what is in force for it at this moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.model import BrandState, Kind, Opening, StationState, VenueState


@dataclass(frozen=True, slots=True)
class VenueView:
    """A venue as readers see it.

    `interval` is the poll interval in force, seconds. `stale` is True where the last values are too old to be shown.
    `ignored` holds the ids of stations that the configuration leaves out of the alerts now. `opening` is None where
    no hours are configured.
    """

    state: VenueState
    interval: float
    stale: bool = False
    ignored: frozenset[str] = frozenset()
    opening: Opening | None = None

    @property
    def stations(self) -> Mapping[str, StationState]:
        """Give the stations that may be shown: none before the first complete poll and none when stale."""
        return {} if self.stale or self.state.stations is None else self.state.stations


@dataclass(frozen=True, slots=True)
class BrandView:
    """A brand as readers see it: its state, the quota as Clopos last told it, and how late its polls start.

    `token_expires_at` is epoch seconds, `poll_lag` and `interval` are seconds; None is what is not known yet.
    """

    state: BrandState
    quota_limit: int | None = None
    quota_remaining: int | None = None
    token_expires_at: float | None = None
    poll_lag: float | None = None
    polls_skipped: int = 0
    interval: float | None = None


class KindCount(NamedTuple):
    """How many stations of a kind a venue has, and how many of those are active and print."""

    kind: Kind
    total: int
    active: int
    printable: int


def count_kinds(stations: Mapping[str, StationState]) -> Iterator[KindCount]:
    """Count stations per kind: kitchen and other always, unknown where there are any."""
    for kind in Kind:
        rows = [station_state.station for station_state in stations.values() if station_state.station.kind is kind]
        if rows or kind is not Kind.UNKNOWN:
            active = sum(station.active is True for station in rows)
            printable = sum(station.printable is True for station in rows)
            yield KindCount(kind, len(rows), active, printable)
