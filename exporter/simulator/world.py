"""What is really there: brands, venues and stations that change, and the record of every change."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, islice
from operator import attrgetter
from random import Random
from threading import RLock
from typing import Any, Literal, NamedTuple

from exporter.clock import Clock, iso
from exporter.model import Event
from exporter.simulator import names
from exporter.simulator.messages import encode, wire_id

Id = int | str
"""Venue and station ids may be given as they stand on the wire or as text; they are kept as text."""

Sort = Literal["id", "name", "status", "type", "printable", "created_at", "updated_at"]

_KITCHENS, _PRINTERS = 0.4, 0.75  # shares of a generated venue's stations

EDITABLE: dict[str, tuple[Event, Event]] = {
    "status": (Event.STATION_DEACTIVATED, Event.STATION_ACTIVATED),
    "printable": (Event.STATION_PRINTING_DISABLED, Event.STATION_PRINTING_ENABLED),
    "type": (Event.STATION_KIND_CHANGED, Event.STATION_KIND_CHANGED),
    "name": (Event.STATION_RENAMED, Event.STATION_RENAMED),
}
"""By field of a station: what it means that it becomes 0, and that it becomes anything else."""


class Mutation(NamedTuple):
    """One thing that truly happened, in the words of the events it should lead to. `at` is epoch seconds."""

    seq: int
    at: float
    event: Event
    brand: str
    venue: str
    station: str | None = None
    old: Any = None
    new: Any = None


class Query(NamedTuple):
    """Which stations are wanted, and in what order; the defaults are those of the API."""

    status: int | None = None
    can_print: bool | None = None
    sort: Sort = "created_at"
    direction: int = -1


@dataclass(slots=True)
class SimulatedStation:
    """A station as Clopos keeps it, in wire values. `raw` is JSON text that is served in its place."""

    id: str
    name: str
    status: int
    type: int
    printable: int
    created_at: float
    updated_at: float
    raw: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the row as the API page describes it."""
        return {
            "id": wire_id(self.id),
            "name": self.name,
            "status": self.status,
            "type": self.type,
            "printable": self.printable,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }


@dataclass(slots=True)
class SimulatedVenue:
    """A restaurant; `lists` holds its JSON rows by query, as made since its last change."""

    id: str
    name: str
    stations: dict[str, SimulatedStation] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=lambda: count(1))
    lists: dict[Query, list[str]] = field(default_factory=dict)

    def row(self, *, is_main: bool) -> dict[str, Any]:
        """Return the row of GET /venues."""
        address = f"{self.name} {self.id}, Baku"
        return {"id": wire_id(self.id), "name": self.name, "is_main": is_main, "status": 1, "address": address}


@dataclass(slots=True)
class SimulatedBrand:
    """A tenant with its credentials."""

    slug: str
    client_id: str
    client_secret: str = field(repr=False)
    venues: dict[str, SimulatedVenue] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=lambda: count(1))


class World:
    """Hold brands, venues and stations, and change them only through methods that keep the record.

    Safe to share between threads; hold `lock` to do several things as one. Unknown brands, venues and stations raise
    LookupError with a sentence.
    """

    integrator_id = "integrator-of-the-simulator"

    def __init__(self, clock: Clock | None = None, seed: int = 1) -> None:
        self.clock = clock or Clock()
        self.seed = seed
        self._random = Random(f"world {seed}")  # noqa: S311 - runs have to repeat
        self._brands: dict[str, SimulatedBrand] = {}
        self._mutations: list[Mutation] = []
        self.lock = RLock()

    @classmethod
    def generate(
        cls,
        *,
        brands: int = 1,
        venues: int = 3,
        stations: int = 8,
        inactive: float = 0.0,
        seed: int = 1,
        clock: Clock | None = None,
    ) -> World:
        """Make a world of `brands` x `venues` x `stations`, the same one for the same seed.

        `inactive` is the share of stations that start inactive. Nothing of it stands in the record.
        """
        world = cls(clock, seed)
        for slug in islice(names.endless(names.BRANDS, "-"), brands):
            world.add_brand(slug)
            for name in islice(names.endless(names.VENUES), venues):
                world._add_stations(slug, world.add_venue(slug, name), stations, inactive)
        world._mutations.clear()
        return world

    def _add_stations(self, brand: str, venue: str, stations: int, inactive: float) -> None:
        kitchens, others = names.endless(names.KITCHENS), names.endless(names.OTHERS)
        # Whole seconds, as a back office that is set up in one sitting: several rows share their created_at.
        created = float(int(self.clock.wall()) - self._random.randrange(30, 900) * 86400)
        for number in range(stations):
            kitchen = number == 0 or self._random.random() < _KITCHENS
            self.add_station(
                brand,
                venue,
                next(kitchens if kitchen else others),
                status=int(self._random.random() >= inactive),
                type=int(kitchen),
                printable=int(self._random.random() < _PRINTERS),
                created_at=created + number // 2 * 60,
            )

    # Reading

    @property
    def brands(self) -> tuple[str, ...]:
        """Return the slugs of the brands."""
        return tuple(self._brands)

    def venues(self, brand: str) -> dict[str, str]:
        """Return the names of a brand's venues by id."""
        with self.lock:
            return {venue.id: venue.name for venue in self._brand(brand).venues.values()}

    def stations(self, brand: str, venue: Id) -> list[dict[str, Any]]:
        """Return the true rows of a venue, whatever is served in their place."""
        with self.lock:
            return [station.row() for station in self._venue(brand, venue).stations.values()]

    def station(self, brand: str, venue: Id, station: Id) -> dict[str, Any]:
        """Return the true row of one station."""
        with self.lock:
            return self._station(brand, venue, station).row()

    def mutations(self, since: int = 0) -> list[Mutation]:
        """Return the record of truth after sequence number `since`."""
        with self.lock:
            return self._mutations[since:]

    def credentials(self, brand: str) -> dict[str, str]:
        """Return the four fields POST /auth wants, by their names."""
        tenant = self._brand(brand)
        return {
            "client_id": tenant.client_id,
            "client_secret": tenant.client_secret,
            "brand": tenant.slug,
            "integrator_id": self.integrator_id,
        }

    def main_venue(self, brand: str) -> str | None:
        """Return the venue that a token without x-venue means: the first one; None where the brand has none."""
        with self.lock:
            return next(iter(self._brand(brand).venues), None)

    def venue_rows(self, brand: str) -> list[str]:
        """Return the JSON rows of GET /venues."""
        with self.lock:
            main = self.main_venue(brand)
            return [encode(venue.row(is_main=venue.id == main)) for venue in self._brand(brand).venues.values()]

    def station_rows(self, brand: str, venue: Id, query: Query) -> list[str]:
        """Return the JSON rows of GET /stations, filtered and sorted, before paging; made once per change and query."""
        with self.lock:
            place = self._venue(brand, venue)
            if query not in place.lists:
                rows = [
                    station
                    for station in place.stations.values()
                    if query.status in (None, station.status) and query.can_print in (None, bool(station.printable))
                ]
                rows.sort(key=_by_id if query.sort == "id" else attrgetter(query.sort), reverse=query.direction < 0)
                place.lists[query] = [row.raw if row.raw is not None else encode(row.row()) for row in rows]
            return place.lists[query]

    # Changing

    def add_brand(self, slug: str) -> None:
        """Add a brand with credentials of its own."""
        secret = f"{self._random.getrandbits(160):040x}"
        with self.lock:
            self._brands[slug] = SimulatedBrand(slug, client_id=f"client-of-{slug}", client_secret=secret)

    def add_venue(self, brand: str, name: str, *, id: Id | None = None) -> str:  # noqa: A002 - the API's own word
        """Add a venue without stations and return its id."""
        with self.lock:
            tenant = self._brand(brand)
            key = _key(id, tenant.numbers, tenant.venues)
            tenant.venues[key] = SimulatedVenue(key, name)
            self._record(Event.VENUE_ADDED, brand, key, new=name)
            return key

    def remove_venue(self, brand: str, venue: Id) -> None:
        """Remove a venue and all its stations."""
        with self.lock:
            gone = self._venue(brand, venue)
            del self._brand(brand).venues[gone.id]
            self._record(Event.VENUE_REMOVED, brand, gone.id, old=gone.name)

    def rename_venue(self, brand: str, venue: Id, name: str) -> None:
        """Rename a venue; there is no event for it, so it is not recorded."""
        with self.lock:
            self._venue(brand, venue).name = name

    def add_station(
        self,
        brand: str,
        venue: Id,
        name: str,
        *,
        id: Id | None = None,  # noqa: A002 - the API's own word
        status: int = 1,
        type: int = 0,  # noqa: A002 - the API's own word
        printable: int = 1,
        created_at: float | None = None,
    ) -> str:
        """Add a station and return its id; a number is never given twice within a venue."""
        created = self.clock.wall() if created_at is None else created_at
        with self.lock:
            place = self._venue(brand, venue)
            key = _key(id, place.numbers, place.stations)
            place.stations[key] = SimulatedStation(key, name, status, type, printable, created, created)
            place.lists.clear()
            self._record(Event.STATION_ADDED, brand, place.id, key, new=name)
            return key

    def remove_station(self, brand: str, venue: Id, station: Id) -> None:
        """Remove a station."""
        with self.lock:
            gone = self._station(brand, venue, station)
            place = self._venue(brand, venue)
            del place.stations[gone.id]
            place.lists.clear()
            self._record(Event.STATION_REMOVED, brand, place.id, gone.id, old=gone.name)

    def edit(self, brand: str, venue: Id, station: Id, **fields: int | str) -> None:
        """Change a station's fields in EDITABLE; what is already so is no change."""
        for name, new in fields.items():
            if name != "name" and new not in (0, 1):
                raise ValueError(f"{name} is 0 or 1; odd rows are served raw")
            with self.lock:
                row = self._station(brand, venue, station)
                old = getattr(row, name)
                if old != new:
                    setattr(row, name, new)
                    row.updated_at = self.clock.wall()
                    self._venue(brand, venue).lists.clear()
                    self._record(EDITABLE[name][new != 0], brand, str(venue), row.id, old=old, new=new)

    def set_status(self, brand: str, venue: Id, station: Id, status: int) -> None:
        """Make a station active (1) or inactive (0)."""
        self.edit(brand, venue, station, status=status)

    def touch(self, brand: str, venue: Id, station: Id) -> None:
        """Move a station's updated_at and nothing else."""
        with self.lock:
            row = self._station(brand, venue, station)
            row.updated_at = self.clock.wall()
            self._venue(brand, venue).lists.clear()
            self._record(Event.STATION_TOUCHED, brand, str(venue), row.id)

    def serve_raw(self, brand: str, venue: Id, station: Id, row: str | None) -> None:
        """Serve this JSON text in place of the station's row, whatever it is; None serves the truth again."""
        with self.lock:
            self._station(brand, venue, station).raw = row
            self._venue(brand, venue).lists.clear()

    # Within the lock

    def _record(
        self, event: Event, brand: str, venue: str, station: str | None = None, *, old: Any = None, new: Any = None
    ) -> None:
        seq = len(self._mutations) + 1
        self._mutations.append(Mutation(seq, self.clock.wall(), event, brand, venue, station, old, new))

    def _brand(self, brand: str) -> SimulatedBrand:
        try:
            return self._brands[brand]
        except KeyError:
            raise LookupError(f"no brand {brand!r}") from None

    def _venue(self, brand: str, venue: Id) -> SimulatedVenue:
        try:
            return self._brand(brand).venues[str(venue)]
        except KeyError:
            raise LookupError(f"no venue {venue!r} in brand {brand!r}") from None

    def _station(self, brand: str, venue: Id, station: Id) -> SimulatedStation:
        try:
            return self._venue(brand, venue).stations[str(station)]
        except KeyError:
            raise LookupError(f"no station {station!r} in venue {venue!r} of brand {brand!r}") from None


def _by_id(station: SimulatedStation) -> tuple[bool, int, str]:
    number = int(station.id) if station.id.isdecimal() else 0
    return (not station.id.isdecimal(), number, station.id)


def _key(wanted: Id | None, numbers: count[int], taken: dict[str, Any]) -> str:
    if wanted is None:
        return next(key for key in map(str, numbers) if key not in taken)
    if str(wanted) in taken:
        raise ValueError(f"the id {wanted!r} is taken")
    return str(wanted)
