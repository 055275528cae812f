"""A store that several processes share: each owns some of the brands, under leases in a PostgreSQL database."""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from threading import RLock

from structlog import get_logger

from exporter import outbox
from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Change, VenueKey, VenueState
from exporter.outbox import Delivery, DeliveryState
from exporter.store import rows
from exporter.store.database import OPERATION_SECONDS, Database, DatabaseConnection, migrate
from exporter.store.memory import FORGET_SECONDS, MemoryStore

LOG = get_logger()

LEASE_SECONDS = 9.0
"""How long a lease lasts unless it is renewed, by the database's clock."""

MARGIN_SECONDS = 1.0
"""How much earlier a lease ends for its owner: clocks run at different speeds, and a request takes time to stop."""

FRESHNESS_SECONDS = 10.0
"""How long the database may be behind where polls changed nothing but how fresh the data is."""

JOURNAL_ROWS = 100_000
"""Entries kept in memory until they are emitted, while the log or the database cannot be written."""

CLOSE_SECONDS = 0.7
"""How long each transaction of the end may take."""

LOAD_SECONDS = 10.0
"""How long it may take to load brands on takeover."""

PRUNE_SECONDS = 60.0

_UPSERT_DELIVERY = rows.upsert("deliveries", "brand id", "channel change created_at state accepted_at")
_UPSERT_CURSOR = rows.upsert("cursors", "brand consumer", "id")

Key = tuple[str, int]
"""A row of the journal or the outbox: its brand, whose owner alone writes it, and its id."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to poll a brand and to write its rows: the fencing number grows with every owner.

    `valid_until` is monotonic, counted from before the request that renewed it. `taken_over` says that another owner
    had the brand before.
    """

    fence: int
    valid_until: float
    taken_over: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the database says of the processes: live members with the brands they are configured for, and owners."""

    members: Mapping[str, Collection[str]]
    owners: Mapping[str, str]


class PostgreSQLStore(MemoryStore):
    """Keep the states of owned brands in memory and in the database, which also has those of all others.

    What a poll changed is written, in one transaction that checks the fencing number, before `commit` returns. While
    the database cannot be written everything goes on from memory, until the lease ends. Only `renew` connects again, so
    that a poll waits for a database that is gone once, and not longer than OPERATION_SECONDS.
    """

    def __init__(self, url: str, clock: Clock, journal_retention: float, *, member: str | None = None) -> None:
        super().__init__(JOURNAL_ROWS)
        self.member = member or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._clock = clock
        self._retention = journal_retention
        self._leasing, self._writer, self._reader = Database(url), Database(url), Database(url)
        self._leases: dict[str, Lease] = {}
        self._writing = RLock()
        self._migrated = False
        self._seconds = OPERATION_SECONDS
        self._up = False
        self.problem: str | None = None
        self._due = self._prune_at = -math.inf
        self._saved: dict[VenueKey, VenueState] = {}
        self._saved_brands: dict[str, BrandState] = {}
        self._uncertain: set[VenueKey] = set()
        self._venues_due: set[VenueKey] = set()
        self._brands_due: set[str] = set()
        self._cursors_due: dict[tuple[str, str], int] = {}
        self._deliveries_due: set[int] = set()
        self._unwritten: deque[Entry] = deque()
        self._keys: dict[int, Key] = {}
        self._delivery_keys: dict[int, Key] = {}
        self._withheld: set[int] = set()
        self._newest = 0

    @property
    def up(self) -> bool | None:
        """Return whether the state can be written."""
        return self._up

    def owns(self, brand: str) -> bool:
        """Return whether this process may poll the brand now and emit its events; "" is what concerns itself."""
        if not brand:
            return True
        lease = self._leases.get(brand)
        return lease is not None and self._clock.monotonic() < lease.valid_until

    def taken_over(self, brand: str) -> bool:
        """Return whether another process had the brand before this one."""
        lease = self._leases.get(brand)
        return lease is not None and lease.taken_over

    @property
    def held(self) -> list[str]:
        """Return the brands whose leases this process had at the last renewal, whether they have ended or not."""
        return list(self._leases)

    def renew(self, brands: Collection[str]) -> Cluster:
        """Say that this process lives and would poll these brands, renew its leases, and return what the others do.

        Raises StoreError where the database cannot be reached; the leases then end in their own time.
        """
        try:
            if not self._migrated:
                migrate(self._leasing)
                self._migrated = True
            began = self._clock.monotonic()
            held = {brand: lease.fence for brand, lease in self._leases.items() if self.owns(brand)}
            with self._leasing.transaction() as connection:
                connection.execute(
                    "INSERT INTO members VALUES (?, ?, clock_timestamp()) ON CONFLICT (member) DO UPDATE "
                    "SET brands = excluded.brands, seen_at = excluded.seen_at",
                    (self.member, json.dumps(sorted(brands))),
                )
                connection.execute(
                    "DELETE FROM members WHERE seen_at < clock_timestamp() - make_interval(secs => 60)",
                )
                renewed = dict(
                    connection.execute(
                        f"UPDATE leases SET expires_at = {_expiry()} "  # noqa: S608 - a constant
                        "WHERE owner = ? AND expires_at > clock_timestamp() AND brand = ANY(?) RETURNING brand, fence",
                        (self.member, list(held)),
                    )
                )
                members = {
                    member: json.loads(known)
                    for member, known in connection.execute(
                        "SELECT member, brands FROM members "
                        "WHERE seen_at > clock_timestamp() - make_interval(secs => ?)",
                        (LEASE_SECONDS,),
                    )
                }
                owners = dict(
                    connection.execute("SELECT brand, owner FROM leases WHERE expires_at > clock_timestamp()")
                )
        except StoreError as error:
            self._lose(error)
            raise
        for brand, fence in renewed.items():
            if held.get(brand) == fence:
                self._leases[brand] = replace(self._leases[brand], valid_until=began + LEASE_SECONDS - MARGIN_SECONDS)
        for brand in held.keys() - renewed.keys():
            self._expire(brand)
        if not self._up:
            with self._writing:
                self._up = True
                self._write(urgent=True)
            self._wake_consumers()
        return Cluster(members, owners)

    def acquire(self, brands: Collection[str]) -> list[str]:
        """Take the leases that nobody has, load what is stored of their brands, and return them. Raises StoreError."""
        taken: dict[str, Lease] = {}
        began = self._clock.monotonic()
        with self._leasing.transaction(LOAD_SECONDS) as connection:
            for brand in sorted(brands):
                row = connection.execute(
                    f"INSERT INTO leases VALUES (?, ?, 1, {_expiry()}) ON CONFLICT (brand) DO UPDATE "  # noqa: S608
                    "SET owner = excluded.owner, fence = leases.fence + 1, expires_at = excluded.expires_at "
                    "WHERE leases.expires_at <= clock_timestamp() RETURNING fence",
                    (brand, self.member),
                ).fetchone()
                if row is not None:
                    taken[brand] = Lease(row[0], began + LEASE_SECONDS - MARGIN_SECONDS, row[0] > 1)
            loaded = [_Loaded(connection, brand, self._clock) for brand in taken]
        for one in loaded:
            self._load(one)
            self._leases[one.brand] = taken[one.brand]
        self._wake_consumers()
        return [brand for brand in taken if self.owns(brand)]

    def release(self, brands: Collection[str]) -> None:
        """Release brands that this process no longer polls, after what is left to be written. Raises StoreError."""
        with self._writing:
            self._write(urgent=True)
            leases = {brand: self._leases[brand] for brand in brands if brand in self._leases}
            for brand in leases:
                self._drop(brand)
        with self._leasing.transaction(self._seconds) as connection:
            connection.executemany(
                "UPDATE leases SET expires_at = clock_timestamp() WHERE brand = ? AND owner = ? AND fence = ?",
                [(brand, self.member, lease.fence) for brand, lease in leases.items()],
            )

    def read_changed(
        self, brands: Collection[str], since: int
    ) -> tuple[dict[str, tuple[BrandState, list[VenueState]]], int]:
        """Read those of some brands that were written since an earlier call; 0 reads all. Raises StoreError.

        Also returns what to pass the next time: the oldest transaction under way, as what it writes is not seen yet.
        """
        with self._reader.transaction(LOAD_SECONDS) as connection:
            (horizon,) = connection.execute(
                "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295"
            ).fetchone()
            changed = connection.execute(
                "SELECT brand FROM brands WHERE brand = ANY(?) AND xmin::text::bigint >= ? UNION "
                "SELECT brand FROM venues WHERE brand = ANY(?) AND xmin::text::bigint >= ?",
                (list(brands), since, list(brands), since),
            ).fetchall()
            now = self._clock.now()
            found = {
                brand: (
                    next(rows.read_brands(connection, brand), BrandState(brand)),
                    list(rows.read_venues(connection, now, brand)),
                )
                for (brand,) in changed
            }
        return found, horizon

    def forget(self, brand: str) -> None:
        """Drop what memory has of a brand whose lease is lost: its next owner goes on from the database."""
        with self._writing:
            self._drop(brand)

    def commit(
        self, *states: VenueState | BrandState, changes: Sequence[Change] = (), removed: Iterable[VenueKey] = ()
    ) -> None:
        """Store states, changes and removals, and write them unless only the freshness is new. Never raises."""
        with self._writing:
            gone = list(removed)
            last_id, last_delivery = self._last_id, self._last_delivery
            self._take(states, changes, gone)
            with self._lock:
                new = list(islice(reversed(self._entries), self._last_id - last_id))[::-1]
            for entry in new:
                self._keys[entry.id] = (entry.brand, self._next_id())
            self._unwritten.extend(new)
            for id_ in range(last_delivery + 1, self._last_delivery + 1):
                self._delivery_keys[id_] = (self._deliveries[id_].change.brand, self._next_id())
                self._deliveries_due.add(id_)
            self._venues_due.update(gone)
            for state in states:
                if isinstance(state, VenueState):
                    self._venues_due.add(state.venue.key)
                else:
                    self._brands_due.add(state.brand)
            urgent = bool(changes or gone) or not all(map(self._holds, states))
            self._write(urgent=urgent)
            self._trim()
        if changes:
            self._wake_consumers(changes)

    def forget_brand(self, brand: str) -> None:
        """Delete the state of a brand and of its venues; their journal stays."""
        with self._writing:
            self._venues_due.update(key for key in self._venues if key[0] == brand)
            self._brands_due.add(brand)
            super().forget_brand(brand)
            self._write(urgent=True)

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Return the entries of all brands, newest first, or those in memory while the database cannot be read."""
        if self._up:
            try:
                with self._reader.transaction() as connection:
                    return rows.read_entries(connection, query)
            except StoreError as error:
                LOG.warning("store.journal_unreadable", problem=str(error))
        return super().journal(query)

    def entries_after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow an id, oldest first: those of brands that this process owns now."""
        with self._writing:
            entries = super().entries_after(id_, limit)
            return [entry for entry in entries if entry.id not in self._withheld and self.owns(entry.brand)]

    def cursor(self, consumer: str) -> int:
        """Return the id of the last entry that a consumer has dealt with, or that is another process's business."""
        with self._writing:
            cursor = super().cursor(consumer)
            while cursor + 1 in self._keys and (
                cursor + 1 in self._withheld or not self.owns(self._keys[cursor + 1][0])
            ):
                cursor += 1
            return cursor

    def advance(self, consumer: str, id_: int) -> None:
        """Store a consumer's cursor, for each brand by itself."""
        with self._writing:
            with self._lock:
                before = self._cursors.get(consumer, 0)
                for entry in super().entries_after(before, id_ - before):
                    if entry.id not in self._withheld and entry.id in self._keys:
                        brand, stored = self._keys[entry.id]
                        self._cursors_due[brand, consumer] = stored
            super().advance(consumer, id_)
            self._write(urgent=True)

    def deliveries(self, channel: str) -> Sequence[Delivery]:
        """Return the deliveries of a channel that are not done: of brands that this process owns now.

        What is not stored waits: were it sent and then lost with the lease, nobody would send the all-clear. What
        concerns the process itself does not wait, least of all that the database is gone.
        """
        with self._writing:
            return [
                delivery
                for delivery in super().deliveries(channel)
                if not (brand := delivery.change.brand)
                or (self.owns(brand) and delivery.id not in self._deliveries_due)
            ]

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Store new states of deliveries, all at once; those that are done are deleted."""
        with self._writing:
            mine = [delivery for delivery in deliveries if delivery.id in self._delivery_keys]
            super().update_deliveries(mine)
            self._deliveries_due.update(delivery.id for delivery in mine)
            self._write(urgent=True)

    def close(self) -> None:
        """Write what is not written yet, give every brand up at once, and leave."""
        try:
            # The process has to end soon, whatever the database does; leases end by themselves.
            self._seconds = CLOSE_SECONDS
            self.release(self.held)
            with self._leasing.transaction(self._seconds) as connection:
                connection.execute("DELETE FROM members WHERE member = ?", (self.member,))
        except StoreError as error:
            LOG.warning("store.not_released", problem=str(error), effect="its brands are taken over when leases end")
        self._up = False
        for database in (self._leasing, self._writer, self._reader):
            database.close()

    def _write(self, *, urgent: bool) -> None:
        now = self._clock.now()
        if not self._up or (now.monotonic < self._due and not urgent):
            return
        brands = sorted(brand for brand in self._brands_to_write() if brand in self._leases and self.owns(brand))
        try:
            with self._writer.transaction(self._seconds) as connection:
                # Locked, so that a takeover waits for the end of this transaction; a zombie's ends by itself.
                fences = dict(
                    connection.execute(
                        "SELECT brand, fence FROM leases WHERE owner = ? AND brand = ANY(?) ORDER BY brand FOR SHARE",
                        (self.member, brands),
                    )
                )
                fenced = {brand for brand in brands if fences.get(brand) == self._leases[brand].fence}
                venues, uncertain = self._write_states(connection, fenced)
                self._write_queue(connection, fenced)
                if now.monotonic >= self._prune_at:
                    self._prune(connection)
        except StoreError as error:
            self._uncertain.update(key for key in self._venues_due if key[0] in self._leases)
            self._lose(error)
            return
        self._recover()
        for brand in set(brands) - fenced:
            self._expire(brand)
        self._due = now.monotonic + FRESHNESS_SECONDS
        if now.monotonic >= self._prune_at:
            self._prune_at = now.monotonic + PRUNE_SECONDS
        for key, state in venues.items():
            if state is None:
                self._saved.pop(key, None)
            else:
                self._saved[key] = state
        self._saved_brands.update({name: self._brands[name] for name in self._brands_due & self._brands.keys()})
        self._uncertain -= uncertain
        self._venues_due.clear()
        self._brands_due.clear()
        self._cursors_due.clear()
        self._deliveries_due.clear()
        for id_ in self._delivery_keys.keys() - self._deliveries.keys():
            del self._delivery_keys[id_]
        self._unwritten.clear()

    def _brands_to_write(self) -> set[str]:
        return {
            *(key[0] for key in self._venues_due),
            *self._brands_due,
            *(entry.brand for entry in self._unwritten),
            *(brand for brand, _ in self._cursors_due),
            *(self._delivery_keys[id_][0] for id_ in self._deliveries_due & self._delivery_keys.keys()),
        }

    def _prune(self, connection: DatabaseConnection) -> None:
        """Delete what is too old, by the database's clock: that of one process may be wrong, and the others lose it."""
        (now,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        rows.prune_entries(connection, oldest=now - self._retention, last_gone=0)
        configured = {
            brand for (known,) in connection.execute("SELECT brands FROM members") for brand in json.loads(known)
        }
        forgotten = [
            brand
            for (brand,) in connection.execute(
                "SELECT brand FROM brands WHERE brand <> ALL(?) AND NOT EXISTS "
                "(SELECT FROM venues WHERE venues.brand = brands.brand AND last_success >= ?)",
                (list(configured), now - FORGET_SECONDS),
            )
        ]
        for table in ("brands", "venues", "stations", "transitions", "deliveries", "leases") if forgotten else ():
            connection.execute(f"DELETE FROM {table} WHERE brand = ANY(?)", (forgotten,))  # noqa: S608 - our own names
        # Kept as long as there are entries, which a brand that comes back would otherwise emit again.
        connection.execute(
            "DELETE FROM cursors WHERE brand <> ALL(?) AND NOT EXISTS "
            "(SELECT FROM journal WHERE journal.brand = cursors.brand)",
            (list(configured),),
        )

    def _write_states(
        self, connection: DatabaseConnection, fenced: Collection[str]
    ) -> tuple[dict[VenueKey, VenueState | None], set[VenueKey]]:
        venues = {key: self._venues.get(key) for key in self._venues_due if key[0] in fenced}
        uncertain = self._uncertain & venues.keys()
        for key, venue in venues.items():
            if venue is None or key in uncertain:
                rows.delete_venue(connection, key)
            if venue is not None and venue is not self._saved.get(key):
                rows.write_venue(connection, None if key in uncertain else self._saved.get(key), venue)
            elif venue is not None and key in uncertain:
                rows.write_venue(connection, None, venue)
        for name in self._brands_due & set(fenced):
            brand = self._brands.get(name)
            if brand is None:
                rows.delete_brand(connection, name)
            else:
                rows.write_brand(connection, brand)
        return venues, uncertain

    def _write_queue(self, connection: DatabaseConnection, fenced: Collection[str]) -> None:
        connection.executemany(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                rows.entry_row(replace(entry, id=self._keys[entry.id][1]))
                for entry in self._unwritten
                if not entry.brand or entry.brand in fenced
            ],
        )
        connection.executemany(
            _UPSERT_CURSOR,
            [(brand, consumer, id_) for (brand, consumer), id_ in self._cursors_due.items() if brand in fenced],
        )
        for id_ in self._deliveries_due:
            key = self._delivery_keys.get(id_)
            if key is None or key[0] not in fenced:
                continue
            delivery = self._deliveries.get(id_)
            if delivery is None:
                connection.execute("DELETE FROM deliveries WHERE brand = ? AND id = ?", key)
            else:
                change = outbox.encode(delivery.change)
                connection.execute(
                    _UPSERT_DELIVERY,
                    (*key, delivery.channel, change, delivery.created_at, delivery.state.value, delivery.accepted_at),
                )

    def _load(self, loaded: _Loaded) -> None:
        """Let memory hold what the database has of a brand, and queue what its last owner stored and did not emit."""
        with self._writing, self._lock:
            self._drop(loaded.brand)
            for state in loaded.venues:
                self._venues[state.venue.key] = self._saved[state.venue.key] = state
            for brand in loaded.brands:
                self._brands[brand.brand] = self._saved_brands[brand.brand] = brand
            self._newest = max(self._newest, loaded.last_id)
            for entry in loaded.pending:
                self._last_id += 1
                self._keys[self._last_id] = (entry.brand, entry.id)
                self._entries.append(replace(entry, id=self._last_id))
            for delivery in loaded.deliveries:
                self._last_delivery += 1
                self._delivery_keys[self._last_delivery] = (loaded.brand, delivery.id)
                self._deliveries[self._last_delivery] = replace(delivery, id=self._last_delivery)

    def _drop(self, brand: str) -> None:
        with self._lock:
            self._leases.pop(brand, None)
            self._venues = {key: state for key, state in self._venues.items() if key[0] != brand}
            self._brands.pop(brand, None)
            self._saved_brands.pop(brand, None)
            self._saved = {key: state for key, state in self._saved.items() if key[0] != brand}
            self._withheld.update(entry.id for entry in self._entries if entry.brand == brand)
            self._unwritten = deque(entry for entry in self._unwritten if entry.brand != brand)
            for id_ in [id_ for id_, key in self._delivery_keys.items() if key[0] == brand]:
                del self._delivery_keys[id_]
                self._deliveries.pop(id_, None)
            self._cursors_due = {key: id_ for key, id_ in self._cursors_due.items() if key[0] != brand}
            for due in (self._venues_due, self._uncertain):
                due.difference_update([key for key in due if key[0] == brand])
            self._brands_due.discard(brand)

    def _expire(self, brand: str) -> None:
        """End a lease here that the database says is no longer ours."""
        lease = self._leases.get(brand)
        if lease is not None:
            self._leases[brand] = replace(lease, valid_until=-math.inf)

    def _trim(self) -> None:
        super()._trim()
        with self._lock:
            first = self._entries[0].id if self._entries else self._last_id + 1
            for id_ in [id_ for id_ in islice(self._keys, 1000) if id_ < first]:
                del self._keys[id_]
                self._withheld.discard(id_)

    def _holds(self, state: VenueState | BrandState) -> bool:
        if isinstance(state, BrandState):
            return state.brand not in self._leases or state == self._saved_brands.get(state.brand)
        saved = self._saved.get(state.venue.key)
        return state.venue.brand not in self._leases or (
            saved is not None
            and state.stations is saved.stations
            and state.transitions is saved.transitions
            and state.outage is saved.outage
            and state.incidents is saved.incidents
            and state.records is saved.records
        )

    def _next_id(self) -> int:
        """Return an id that grows with time, also from one owner of a brand to the next: epoch microseconds."""
        self._newest = max(self._newest + 1, int(self._clock.wall() * 1_000_000))
        return self._newest

    def _lose(self, error: StoreError) -> None:
        """Go on from memory, and log it once."""
        self._up = False
        problem = str(error)
        if problem != self.problem:
            self.problem = problem
            effect = "polling goes on from memory until the leases of this process end"
            LOG.error("store.unavailable", problem=problem, effect=effect)

    def _recover(self) -> None:
        if self.problem is not None:
            self.problem = None
            LOG.info("store.recovered")


class _Loaded:
    """What the database has of a brand."""

    def __init__(self, connection: DatabaseConnection, brand: str, clock: Clock) -> None:
        self.brand = brand
        self.venues = list(rows.read_venues(connection, clock.now(), brand))
        self.brands = list(rows.read_brands(connection, brand))
        cursor = connection.execute("SELECT id FROM cursors WHERE brand = ? AND consumer = 'log'", (brand,)).fetchone()
        self.pending = rows.entries(
            connection.execute(
                "SELECT * FROM journal WHERE brand = ? AND id > ? ORDER BY id LIMIT ?",
                (brand, cursor[0] if cursor else 0, JOURNAL_ROWS),
            )
        )
        (self.last_id,) = connection.execute(
            "SELECT greatest((SELECT max(id) FROM journal WHERE brand = ?), "
            "(SELECT max(id) FROM deliveries WHERE brand = ?), 0)",
            (brand, brand),
        ).fetchone()
        self.deliveries = [
            Delivery(id_, channel, outbox.decode(change), created_at, DeliveryState(state), accepted_at)
            for id_, channel, change, created_at, state, accepted_at in connection.execute(
                "SELECT id, channel, change, created_at, state, accepted_at "
                "FROM deliveries WHERE brand = ? ORDER BY id",
                (brand,),
            )
        ]


def read_journal(url: str, query: JournalQuery) -> list[Entry]:
    """Read the journal of every process, newest first. Raises StoreError."""
    database = Database(url)
    try:
        with database.transaction() as connection:
            return rows.read_entries(connection, query)
    finally:
        database.close()


def _expiry() -> str:
    return f"clock_timestamp() + make_interval(secs => {LEASE_SECONDS})"
