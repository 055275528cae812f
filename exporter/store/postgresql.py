"""A store that several processes share: each owns some of the brands, under leases in a PostgreSQL database."""

from __future__ import annotations

import math
import os
import secrets
import socket
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

from structlog import get_logger

from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Change, VenueKey, VenueState
from exporter.outbox import Delivery
from exporter.store import brandrows, rows
from exporter.store.brandrows import Key, StoredBrand
from exporter.store.database import OPERATION_SECONDS, WRITER, Database, DatabaseConnection
from exporter.store.database_schema import migrate
from exporter.store.durable import FRESHNESS_SECONDS, DurableStore, is_same, merge
from exporter.store.leases import Cluster, Lease, Leases

LOG = get_logger()

JOURNAL_ROWS = 100_000
"""Entries kept in memory until they are emitted, while the log or the database cannot be written."""

CLOSE_SECONDS = 0.7
"""How long each transaction of the end may take."""

LOAD_SECONDS = 10.0
"""How long it may take to load brands on takeover."""

PRUNE_SECONDS = 60.0


class PostgreSQLStore(DurableStore):
    """Keep the states of owned brands in memory and in the database, which also has those of all others.

    The transaction that writes checks the fencing numbers. While the database cannot be written everything goes on from
    memory, until the leases end. Only `renew` connects again, so that a poll waits for a database that is gone once,
    and not longer than OPERATION_SECONDS.
    """

    effect = "polling goes on from memory until the leases of this process end"

    def __init__(self, url: str, clock: Clock, journal_retention: float, *, member: str | None = None) -> None:
        super().__init__(clock, JOURNAL_ROWS)
        self.member = member or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._retention = journal_retention
        self._leasing, self._writer, self._reader = Database(url), Database(url, WRITER), Database(url)
        self._leases = Leases(self.member, clock)
        self._migrated = False
        self._seconds = OPERATION_SECONDS
        self._up = False
        self._prune_at = -math.inf
        self._channels: frozenset[str] | None = None
        self._saved: dict[VenueKey, VenueState] = {}
        self._saved_brands: dict[str, BrandState] = {}
        self._cursors_due: dict[str, int] = {}
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
        return not brand or self._leases.owns(brand)

    def taken_over(self, brand: str) -> bool:
        """Return whether another process had the brand before this one."""
        return self._leases.taken_over(brand)

    @property
    def held(self) -> list[str]:
        """Return the brands whose leases this process had at the last renewal, whether they have ended or not."""
        return self._leases.held

    def renew(self, brands: Collection[str]) -> Cluster:
        """Say that this process lives and would poll these brands, renew its leases, and return what the others do.

        Raises StoreError where the database cannot be reached; the leases then end in their own time.
        """
        try:
            if not self._migrated:
                migrate(self._leasing)
                self._migrated = True
            cluster = self._leases.renew(self._leasing, brands)
        except StoreError as error:
            self._lose(error)
            raise
        if not self._up:
            with self._writing:
                self._up = True
                self._write(urgent=True)
            self._wake_consumers()
        return cluster

    def acquire(self, brands: Collection[str]) -> list[str]:
        """Take the leases that nobody has, load what is stored of their brands, and return them. Raises StoreError."""
        with self._leasing.transaction(LOAD_SECONDS) as connection:
            leases = self._leases.take(connection, brands)
            now = self._clock.now()
            stored = brandrows.read_brands(connection, leases, now, JOURNAL_ROWS)
        for brand, lease in leases.items():
            self._load(brand, stored[brand], lease)
        self._wake_consumers()
        return [brand for brand in leases if self.owns(brand)]

    def release(self, brands: Collection[str]) -> None:
        """Release brands that this process no longer polls, after what is left to be written. Raises StoreError."""
        with self._writing:
            self._write(urgent=True)
            leases = {brand: lease for brand in brands if (lease := self._drop(brand))}
        with self._leasing.transaction(self._seconds) as connection:
            self._leases.release(connection, leases)

    def read_changed(
        self, brands: Collection[str], since: int
    ) -> tuple[dict[str, tuple[BrandState, list[VenueState]]], int]:
        """Read those of some brands that were written since an earlier call; 0 reads all. Raises StoreError.

        Also returns what to pass the next time: the oldest transaction under way, as what it writes is not seen yet.
        """
        with self._reader.transaction(LOAD_SECONDS) as connection:
            return brandrows.read_changed(connection, brands, since, self._clock.now())

    def not_stored(self, brand: str) -> int:
        """Return how many events of a brand the database does not have, though they may have been emitted."""
        with self._writing:
            return sum(entry.brand == brand for entry in self._unwritten)

    def forget(self, brand: str) -> None:
        """Drop what memory has of a brand whose lease is lost: its next owner goes on from the database."""
        with self._writing:
            self._drop(brand)

    def entries_after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow an id, oldest first: those of brands that this process owns now."""
        with self._writing:
            entries = super().entries_after(id_, limit)
            return [entry for entry in entries if entry.id not in self._withheld and self.owns(entry.brand)]

    def cursor(self) -> int:
        """Return the id of the last entry that was emitted, or that is another process's business."""
        with self._writing:
            cursor = super().cursor()
            while cursor + 1 in self._keys and (
                cursor + 1 in self._withheld or not self.owns(self._keys[cursor + 1][0])
            ):
                cursor += 1
            return cursor

    def advance(self, id_: int) -> None:
        """Store the cursor of the log, for each brand by itself."""
        with self._writing:
            with self._lock:
                for entry in super().entries_after(self._cursor, id_ - self._cursor):
                    if entry.id <= id_ and entry.id not in self._withheld and entry.id in self._keys:
                        brand, stored = self._keys[entry.id]
                        self._cursors_due[brand] = stored
            super().advance(id_)
            self._write(urgent=True)

    def deliveries(self, channel: str) -> Sequence[Delivery]:
        """Return the deliveries of a channel that are not done: of brands that this process owns now.

        While something of a brand is not stored, all of it waits: were it sent and then lost with the lease, nobody
        would send the all-clear, and an end whose beginning is missing would be for nobody. What concerns the process
        itself does not wait, least of all that the database is gone.
        """
        with self._writing:
            waiting = {self._delivery_keys[id_][0] for id_ in self._deliveries_due & self._delivery_keys.keys()}
            return [
                delivery
                for delivery in super().deliveries(channel)
                if not (brand := delivery.change.brand) or (self.owns(brand) and brand not in waiting)
            ]

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Store new states of deliveries, all at once; those that are done are deleted."""
        with self._writing:
            super().update_deliveries([delivery for delivery in deliveries if delivery.id in self._delivery_keys])

    def retain_channels(self, names: Collection[str]) -> None:
        """Delete the deliveries of every other channel: at once those of brands that this process owns."""
        self._channels = frozenset(names)
        super().retain_channels(names)

    def close(self) -> None:
        """Write what is not written yet, give every brand up at once, and leave."""
        try:
            # The process has to end soon, whatever the database does; leases end by themselves.
            self._seconds = CLOSE_SECONDS
            self.release(self.held)
            with self._leasing.transaction(self._seconds) as connection:
                self._leases.leave(connection)
        except StoreError as error:
            LOG.warning("store.not_released", problem=str(error), effect="its brands are taken over when leases end")
        self._up = False
        for database in (self._leasing, self._writer, self._reader):
            database.close()

    def _take(
        self, states: Sequence[VenueState | BrandState], changes: Sequence[Change], removed: Collection[VenueKey]
    ) -> None:
        """Take over what a poll brought, with the keys under which its entries and deliveries are stored."""
        last_id, last_delivery = self._last_id, self._last_delivery
        super()._take(states, changes, removed)
        with self._lock:
            new = list(islice(reversed(self._entries), self._last_id - last_id))[::-1]
        for entry in new:
            self._keys[entry.id] = (entry.brand, self._next_id())
        self._unwritten.extend(new)
        for id_ in range(last_delivery + 1, self._last_delivery + 1):
            self._delivery_keys[id_] = (self._deliveries[id_].change.brand, self._next_id())

    def _write(self, *, urgent: bool) -> None:
        now = self._clock.now()
        if not self._up or (now.monotonic < self._due and not urgent):
            return
        brands = {brand for brand in self._brands_to_write() if self._leases.owns(brand)}
        try:
            with self._writer.transaction(self._seconds) as connection:
                fenced = self._leases.lock(connection, brands)
                venues = {key: self._venues.get(key) for key in self._venues_due if key[0] in fenced}
                brand_states = {name: self._brands.get(name) for name in self._brands_due & fenced}
                rows.write_states(connection, venues, brand_states, stored=self._saved)
                self._write_queue(connection, fenced)
                if now.monotonic >= self._prune_at:
                    brandrows.prune(connection, self._retention, self._channels)
        except StoreError as error:
            # What was committed is not known: the next time they are written as a whole.
            merge(self._saved, dict.fromkeys(self._venues_due))
            self._lose(error)
            return
        self._recover()
        for brand in brands - fenced:
            self._leases.expire(brand)
        self._due = now.monotonic + FRESHNESS_SECONDS
        if now.monotonic >= self._prune_at:
            self._prune_at = now.monotonic + PRUNE_SECONDS
        merge(self._saved, venues)
        self._saved_brands.update({name: self._brands[name] for name in self._brands_due & self._brands.keys()})
        self._venues_due.clear()
        self._brands_due.clear()
        self._cursors_due.clear()
        self._deliveries_due.clear()
        for id_ in self._delivery_keys.keys() - self._deliveries.keys():
            del self._delivery_keys[id_]
        # What the end of a lease kept from being stored is counted when the brand is given up.
        lost = set(self._leases.held) - fenced
        self._unwritten = deque(entry for entry in self._unwritten if entry.brand in lost)

    def _brands_to_write(self) -> set[str]:
        return {
            *(key[0] for key in self._venues_due),
            *self._brands_due,
            *(entry.brand for entry in self._unwritten),
            *self._cursors_due,
            *(self._delivery_keys[id_][0] for id_ in self._deliveries_due & self._delivery_keys.keys()),
        }

    def _write_queue(self, connection: DatabaseConnection, fenced: Collection[str]) -> None:
        entries = [entry for entry in self._unwritten if not entry.brand or entry.brand in fenced]
        rows.write_entries(connection, [replace(entry, id=self._keys[entry.id][1]) for entry in entries])
        cursors = {(brand, rows.CONSUMER): id_ for brand, id_ in self._cursors_due.items() if brand in fenced}
        rows.write_cursors(connection, "brand consumer", cursors)
        keys = {id_: key for id_ in self._deliveries_due if (key := self._delivery_keys.get(id_)) and key[0] in fenced}
        deliveries = {key: self._deliveries.get(id_) for id_, key in keys.items()}
        rows.write_deliveries(connection, "brand id", deliveries)

    def _load(self, name: str, stored: StoredBrand, lease: Lease) -> None:
        """Let memory hold what the database has of a brand, and queue what its last owner stored and did not emit.

        It is owned from then on, in the same step: the log passes over the entries of brands that are not.
        """
        with self._writing, self._lock:
            self._drop(name)
            for state in stored.venues:
                self._venues[state.venue.key] = self._saved[state.venue.key] = state
            if stored.state is not None:
                self._brands[name] = self._saved_brands[name] = stored.state
            self._newest = max(self._newest, stored.last_id)
            for entry in stored.pending:
                self._last_id += 1
                self._keys[self._last_id] = (entry.brand, entry.id)
                self._entries.append(replace(entry, id=self._last_id))
            for delivery in stored.deliveries:
                if self._channels is not None and delivery.channel not in self._channels:
                    continue  # Nobody would send it.
                self._last_delivery += 1
                self._delivery_keys[self._last_delivery] = (name, delivery.id)
                self._deliveries[self._last_delivery] = replace(delivery, id=self._last_delivery)
            self._leases.hold(name, lease)

    def _drop(self, brand: str) -> Lease | None:
        """Let memory hold nothing of a brand, and return its lease, which then is no longer owned here."""
        with self._lock:
            lease = self._leases.drop(brand)
            self._venues = {key: state for key, state in self._venues.items() if key[0] != brand}
            self._brands.pop(brand, None)
            self._saved_brands.pop(brand, None)
            self._saved = {key: state for key, state in self._saved.items() if key[0] != brand}
            self._withheld.update(entry.id for entry in self._entries if entry.brand == brand)
            self._unwritten = deque(entry for entry in self._unwritten if entry.brand != brand)
            for id_ in [id_ for id_, key in self._delivery_keys.items() if key[0] == brand]:
                del self._delivery_keys[id_]
                self._deliveries.pop(id_, None)
            self._cursors_due.pop(brand, None)
            self._venues_due = {key for key in self._venues_due if key[0] != brand}
            self._brands_due.discard(brand)
            return lease

    def _trim(self) -> None:
        super()._trim()
        with self._lock:
            first = self._entries[0].id if self._entries else self._last_id + 1
            for id_ in [id_ for id_ in islice(self._keys, 1000) if id_ < first]:
                del self._keys[id_]
                self._withheld.discard(id_)

    def _is_stored(self, state: VenueState | BrandState) -> bool:
        brand = state.brand if isinstance(state, BrandState) else state.venue.brand
        return brand not in self._leases.held or is_same(state, self._saved, self._saved_brands)

    def _read_journal(self, query: JournalQuery) -> list[Entry]:
        with self._reader.transaction() as connection:
            return rows.read_entries(connection, query)

    def _next_id(self) -> int:
        """Return an id that grows with time, also from one owner of a brand to the next: epoch microseconds."""
        self._newest = max(self._newest + 1, int(self._clock.wall() * 1_000_000))
        return self._newest

    def _lose(self, error: StoreError) -> None:
        self._up = False
        super()._lose(error)


def read_journal(url: str, query: JournalQuery) -> list[Entry]:
    """Read the journal of every process, newest first. Raises StoreError."""
    with closing(Database(url)) as database, database.transaction() as connection:
        return rows.read_entries(connection, query)
