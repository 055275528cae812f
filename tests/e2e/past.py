"""A past: a world that something happened to, and the state file of an exporter that saw it happen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exporter.changes import advance, advance_brand
from exporter.clock import Clock
from exporter.clopos import wire
from exporter.model import Discovery, Snapshot, Venue
from exporter.simulator import World
from exporter.store.sqlite import SQLiteStore

DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0


class PastClock(Clock):
    """Return a time some seconds ago."""

    ago = 0.0

    def wall(self) -> float:
        return super().wall() - self.ago

    def monotonic(self) -> float:
        return super().monotonic() - self.ago


class Happened(NamedTuple):
    """A station that was switched off, or on, some seconds ago."""

    ago: float
    venue: str
    station: str
    status: int


def lived_through(happened: Sequence[Happened], path: Path, *, venues: int, stations: int) -> World:
    """Return a world after these events, and leave a state file as of an exporter that watched it for a month."""
    clock = PastClock()
    clock.ago = 30 * DAY
    world = World.generate(venues=venues, stations=stations, seed=4, clock=clock)
    (brand,) = world.brands
    store = SQLiteStore(path, clock, 90 * DAY)
    places = tuple(Venue(brand, id_, name) for id_, name in world.venues(brand).items())
    state, _ = advance_brand(store.brand(brand), Discovery(places, clock.now()))
    store.commit(state)

    def poll(venue: Venue) -> None:
        rows, _ = wire.stations(world.stations(brand, venue.id))
        state, changes = advance(store.venue(venue), Snapshot(tuple(rows), clock.now()))
        store.commit(state, changes=changes)

    for venue in places:
        poll(venue)
    for event in happened:
        clock.ago = event.ago
        world.set_status(brand, event.venue, event.station, event.status)
        poll(next(venue for venue in places if venue.id == event.venue))
    clock.ago = 0.0
    for venue in places:
        poll(venue)
    store.close()
    return world
