"""States and entries as rows of the state file or the database, and back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from exporter.journal import Entry, JournalQuery
from exporter.model import (
    EMPTY,
    Absence,
    BrandState,
    Change,
    Event,
    Incident,
    IncidentKind,
    Instant,
    Kind,
    Outage,
    Reason,
    Station,
    StationRecord,
    StationState,
    Venue,
    VenueKey,
    VenueState,
)
from exporter.outbox import Delivery, DeliveryState

Row = tuple[Any, ...]

CONSUMER = "log"
"""The consumer whose cursor in the journal is stored."""

_REASONS = frozenset(Reason)
_KINDS = frozenset(IncidentKind)
_EVENTS = frozenset(Event)

Value = TypeVar("Value")


class SqlConnection(Protocol):
    """Run statements with `?` for each parameter: SQLite's connection, or the wrapped one to PostgreSQL."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement, and return its rows."""

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        """Run one statement for each set of parameters."""


def upsert(table: str, keys: str, columns: str) -> str:
    """Return the statement that inserts a row or replaces the one with the same keys, in both dialects of SQL."""
    names = [*keys.split(), *columns.split()]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns.split())
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 - our own names
        f"ON CONFLICT ({', '.join(keys.split())}) DO UPDATE SET {changes}"
    )


_UPSERT_VENUE = upsert(
    "venues",
    "brand venue_id",
    "name last_success requests outage_since outage_reason outage_message incidents records open_seconds partial_since",
)
_UPSERT_STATION = upsert(
    "stations",
    "brand venue_id station_id",
    "name kind active printable created_at updated_at status printing since last_transition missing unedited",
)
_STATION_VALUES = attrgetter(
    *["station.id", "station.name", "station.kind.value", "station.active", "station.printable"],
    *["station.created_at", "station.updated_at", "status", "printing"],
    *["since", "last_transition", "missing", "is_unedited"],
)
_UPSERT_TRANSITION = upsert("transitions", "brand venue_id kind active", "total")
_UPSERT_BRAND = upsert(
    "brands",
    "brand",
    "venues missing login_since login_reason login_message outage_since outage_reason outage_message incidents",
)

INCIDENTS = TypeAdapter(dict[str, Incident])
RECORDS = TypeAdapter(dict[str, StationRecord])
CHANGE = TypeAdapter(Change)


def encode(value: object) -> str:
    """Write dataclasses and mappings as JSON: in ASCII, as a name may hold half characters, which no database has."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def decode(values: TypeAdapter[Value], text: str) -> Value:
    """Read what `encode` wrote. Raises ValueError for anything else."""
    return values.validate_python(json.loads(text))


def _plain(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _by_key(values: TypeAdapter[dict[str, Value]], text: str) -> Mapping[str, Value]:
    if text == "{}":
        return EMPTY
    found = {key: value for key, value in dict(json.loads(text)).items() if not _is_of_later_kind(value)}
    return values.validate_python(found) or EMPTY


def _is_of_later_kind(incident: Any) -> bool:
    """Return whether only a later exporter knows what an incident is about: that does not make the rest unreadable."""
    kind = incident.get("kind") if isinstance(incident, dict) else None
    return isinstance(kind, str) and kind not in _KINDS


def write_states(
    connection: SqlConnection,
    venues: Mapping[VenueKey, VenueState | None],
    brands: Mapping[str, BrandState | None],
    *,
    stored: Mapping[VenueKey, VenueState],
) -> None:
    """Write what differs from the states of venues that are stored, and delete those that are None."""
    for key, venue in venues.items():
        if venue is None:
            _delete_venue(connection, key)
        elif venue is not stored.get(key):
            _write_venue(connection, stored.get(key), venue)
    for name, brand in brands.items():
        if brand is None:
            connection.execute("DELETE FROM brands WHERE brand = ?", (name,))
        else:
            _write_brand(connection, brand)


def _write_venue(connection: SqlConnection, old: VenueState | None, new: VenueState) -> None:
    """Write what differs between the state that is stored, None where that is not known, and the new one."""
    key = new.venue.key
    if old is None:
        _delete_venue(connection, key)
    connection.execute(
        _UPSERT_VENUE,
        (
            *key,
            new.venue.name,
            new.last_success,
            new.requests,
            *_outage_row(new.outage),
            encode(new.incidents),
            encode(new.records),
            new.open_seconds,
            new.partial_since,
        ),
    )
    before = (old and old.stations) or {}
    after = new.stations or {}
    if after is not before:
        connection.executemany(
            _UPSERT_STATION,
            [
                (*key, *_STATION_VALUES(station_state))
                for id_, station_state in after.items()
                if before.get(id_) is not station_state
            ],
        )
        connection.executemany(
            "DELETE FROM stations WHERE brand = ? AND venue_id = ? AND station_id = ?",
            [(*key, id_) for id_ in before.keys() - after.keys()],
        )
    if old is None or new.transitions is not old.transitions:
        connection.execute("DELETE FROM transitions WHERE brand = ? AND venue_id = ?", key)
        connection.executemany(
            _UPSERT_TRANSITION,
            [(*key, kind.value, active, total) for (kind, active), total in new.transitions.items()],
        )


def _delete_venue(connection: SqlConnection, key: VenueKey) -> None:
    for table in ("venues", "stations", "transitions"):
        connection.execute(f"DELETE FROM {table} WHERE brand = ? AND venue_id = ?", key)  # noqa: S608 - our own names


def _write_brand(connection: SqlConnection, state: BrandState) -> None:
    venues = None if state.venues is None else json.dumps([(venue.id, venue.name) for venue in state.venues])
    connection.execute(
        _UPSERT_BRAND,
        (
            state.brand,
            venues,
            json.dumps(dict(state.missing)),
            *_outage_row(state.login_outage),
            *_outage_row(state.outage),
            encode(state.incidents),
        ),
    )


def write_entries(connection: SqlConnection, entries: Iterable[Entry]) -> None:
    """Append to the journal; a transaction that ended without an answer may have stored them before."""
    connection.executemany(
        "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (
                entry.id,
                entry.event.value,
                entry.observed_at,
                entry.brand,
                entry.venue_id,
                entry.venue,
                entry.station_id,
                entry.station,
                entry.kind and entry.kind.value,
                entry.updated_at,
                json.dumps(dict(entry.details)),
            )
            for entry in entries
        ],
    )


def prune_entries(connection: SqlConnection, *, oldest: float, last_gone: int) -> None:
    """Drop the entries from before a time (epoch seconds), and those up to an id."""
    connection.execute("DELETE FROM journal WHERE observed_at < ?", (oldest,))
    connection.execute("DELETE FROM journal WHERE id <= ?", (last_gone,))


def write_cursors(connection: SqlConnection, keys: str, cursors: Mapping[Row, int]) -> None:
    """Write how far the log has come in the journal, by the columns of the keys."""
    connection.executemany(upsert("cursors", keys, "id"), [(*key, id_) for key, id_ in cursors.items()])


def deliveries(rows: Iterable[Row]) -> list[Delivery]:
    """Return deliveries from rows, which begin with the id, without those that only a later exporter understands."""
    found = []
    for id_, channel, text, created_at, state, accepted_at in rows:
        change = dict(json.loads(text))
        if not _is_of_later_kind(change.get("incident")):
            known = CHANGE.validate_python(change)
            found.append(Delivery(id_, channel, known, created_at, DeliveryState(state), accepted_at))
    return found


def write_deliveries(connection: SqlConnection, keys: str, deliveries: Mapping[Row, Delivery | None]) -> None:
    """Write deliveries by the columns of their keys, and delete those that are done."""
    statement = upsert("deliveries", keys, "channel change created_at state accepted_at")
    condition = " AND ".join(f"{name} = ?" for name in keys.split())
    for key, row in deliveries.items():
        if row is None:
            connection.execute(f"DELETE FROM deliveries WHERE {condition}", key)  # noqa: S608 - our own names
        else:
            values = (row.channel, encode(row.change), row.created_at, row.state.value, row.accepted_at)
            connection.execute(statement, (*key, *values))


def read_venues(connection: SqlConnection, now: Instant, *brands: str) -> Iterator[VenueState]:
    """Read the states of brands' venues from an earlier process; their monotonic age follows from the wall clock."""
    where = _among(brands)
    stations: defaultdict[VenueKey, dict[str, StationState]] = defaultdict(dict)
    for brand, venue_id, *row in connection.execute(f"SELECT * FROM stations {where}", brands):  # noqa: S608
        station_state = _station_state(row)
        stations[brand, venue_id][station_state.station.id] = station_state
    transitions: defaultdict[VenueKey, dict[tuple[Kind, bool], int]] = defaultdict(dict)
    counted = connection.execute(f"SELECT * FROM transitions {where}", brands)  # noqa: S608
    for brand, venue_id, kind, active, total in counted:
        transitions[brand, venue_id][Kind(kind), bool(active)] = total
    found = connection.execute(f"SELECT * FROM venues {where}", brands)  # noqa: S608
    for brand, id_, name, last_success, requests, *rest in found:
        incidents, records, open_seconds, partial_since = rest[3:]
        is_known = last_success is not None
        yield VenueState(
            Venue(brand, id_, name),
            stations=stations.get((brand, id_), {}) if is_known else None,
            transitions=transitions.get((brand, id_), EMPTY),
            last_success=last_success,
            fresh_at=now.monotonic - max(0.0, now.wall - last_success) if is_known else None,
            requests=requests,
            outage=_outage(rest[:3]),
            restored=True,
            partial_since=partial_since,
            incidents=_by_key(INCIDENTS, incidents),
            records=_by_key(RECORDS, records),
            open_seconds=open_seconds,
        )


def read_brands(connection: SqlConnection, *brands: str) -> Iterator[BrandState]:
    """Read the states of an earlier process, of some brands or, where none is named, of all."""
    where = _among(brands) if brands else ""
    for name, venues, missing, *outages in connection.execute(f"SELECT * FROM brands {where}", brands):  # noqa: S608
        yield BrandState(
            name,
            None if venues is None else tuple(Venue(name, id_, venue) for id_, venue in json.loads(venues)),
            {id_: _absence(value) for id_, value in json.loads(missing).items()},
            login_outage=_outage(outages[:3]),
            outage=_outage(outages[3:6]),
            restored=True,
            incidents=_by_key(INCIDENTS, outages[6]),
        )


def _among(brands: Collection[str]) -> str:
    return f"WHERE brand IN ({', '.join('?' * len(brands))})"


def read_entries(connection: SqlConnection, query: JournalQuery) -> list[Entry]:
    """Read from the journal, newest first."""
    filters: Mapping[str, Any] = {
        "brand = ?": query.brand,
        "venue_id = ?": query.venue_id,
        "station_id = ?": query.station_id,
        "kind = ?": query.kind and query.kind.value,
        "observed_at >= ?": query.since,
        "observed_at < ?": query.until,
        "id < ?": query.before,
    }
    chosen = {condition: value for condition, value in filters.items() if value is not None}
    # Always named, so that an event which only a later exporter knows is passed over.
    events = [event.value for event in query.events or Event]
    where = " AND ".join([*chosen, f"event IN ({', '.join('?' * len(events))})"])
    statement = f"SELECT * FROM journal WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - our own conditions
    return entries(connection.execute(statement, (*chosen.values(), *events, query.limit)))


def read_entries_after(connection: SqlConnection, id_: int, limit: int) -> list[Entry]:
    """Read the entries that follow an id, oldest first."""
    events = [event.value for event in Event]
    known = ", ".join("?" * len(events))
    statement = f"SELECT * FROM journal WHERE id > ? AND event IN ({known}) ORDER BY id LIMIT ?"  # noqa: S608 - our own
    return entries(connection.execute(statement, (id_, *events, limit)))


def entries(rows: Iterable[Row]) -> list[Entry]:
    """Return entries from the rows of the journal, without those that only a later exporter understands."""
    return [
        Entry(
            id_, Event(event), at, brand, venue_id, venue, station_id, station, kind and Kind(kind), updated_at,
            json.loads(details),
        )
        for id_, event, at, brand, venue_id, venue, station_id, station, kind, updated_at, details in rows
        if event in _EVENTS
    ]  # fmt: skip


def _station_state(row: list[Any]) -> StationState:
    id_, name, kind, active, printable, created_at, updated_at, *known = row
    status, printing, since, last_transition, missing, unedited = known
    station = Station(id_, name, Kind(kind), _flag(active), _flag(printable), created_at, updated_at)
    return StationState(station, _flag(status), _flag(printing), since, last_transition, missing, bool(unedited))


def _outage_row(outage: Outage | None) -> Row:
    return (None, None, None) if outage is None else (outage.since, outage.reason.value, outage.message)


def _outage(row: list[Any]) -> Outage | None:
    since, reason, message = row
    if since is None:
        return None
    # A later exporter may know more reasons.
    return Outage(since, Reason(reason) if reason in _REASONS else Reason.INTERNAL, message)


def _absence(value: int | list[Any]) -> Absence:
    # A number is what releases up to 0.1 wrote, which kept no time: as if it had begun long ago.
    return Absence(value, 0.0) if isinstance(value, int) else Absence(*value)


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)
