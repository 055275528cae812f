"""A store that survives restarts: everything in memory, and what changed in a SQLite file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from threading import RLock

from structlog import get_logger

from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Change, Instant, Venue, VenueKey, VenueState
from exporter.outbox import Delivery
from exporter.store.file import DamagedError, InUseError, StateFile, read_entries_after, read_journal
from exporter.store.memory import MemoryStore

LOG = get_logger()

FRESHNESS_SECONDS = 10.0
"""How long the file may be behind where a poll changed nothing but how fresh the data is."""

RETRY_SECONDS = 30.0
"""How long a file that cannot be written is left alone."""


class SQLiteStore(MemoryStore):
    """Keep states and the journal in memory and in a file.

    The venues of a brand are read when the brand is first asked for, so that a start with thousands does not wait for
    all. What a poll changed is written, in one transaction, before `commit` returns. While the file cannot be written
    everything goes on from memory, and the file catches up as soon as it can. Raises InUseError where another process
    writes the same file.
    """

    def __init__(self, path: Path, clock: Clock, journal_retention: float) -> None:
        super().__init__()
        self._path = path.resolve()
        self._clock = clock
        self._retention = journal_retention
        self._writing = RLock()
        self._file: StateFile | None = None
        self._loaded = False
        self._unread: set[str] = set()
        self._damaged = False
        self._problem: str | None = None
        self._due = -math.inf
        self._venues_due: set[VenueKey] = set()
        self._brands_due: set[str] = set()
        self._cursors_due = False
        self._deliveries_due: set[int] = set()
        self._written_id = 0
        now = clock.now()
        try:
            self._open(now)
        except InUseError:
            raise
        except StoreError as error:
            self._lose(error, now)

    @property
    def up(self) -> bool | None:
        """Return whether the state can be written."""
        return self._file is not None

    def venue(self, venue: Venue) -> VenueState:
        """Return the state of a venue: an empty one where nothing is known."""
        self._read(venue.brand)
        return super().venue(venue)

    def venues(self, brand: str | None = None) -> Sequence[VenueState]:
        """Return the state of every known venue, of one brand or all."""
        for unread in tuple(self._unread) if brand is None else (brand,):
            self._read(unread)
        return super().venues(brand)

    def commit(
        self, *states: VenueState | BrandState, changes: Sequence[Change] = (), removed: Iterable[VenueKey] = ()
    ) -> None:
        """Store states, changes and removals, and write them unless only the freshness is new. Never raises."""
        with self._writing:
            gone = list(removed)
            for brand in {key[0] for key in gone} | {_brand_of(state) for state in states}:
                self._read(brand)
            last_delivery = self._last_delivery
            self._take(states, changes, gone)
            self._deliveries_due.update(range(last_delivery + 1, self._last_delivery + 1))
            self._venues_due.update(gone)
            for state in states:
                if isinstance(state, VenueState):
                    self._venues_due.add(state.venue.key)
                else:
                    self._brands_due.add(state.brand)
            new = self._file is not None and not all(map(self._file.holds, states))
            self._write(urgent=bool(changes or gone) or new)
            self._trim()
        if changes:
            self._wake_consumers(changes)

    def forget_brand(self, brand: str) -> None:
        """Delete the state of a brand and of its venues; their journal stays."""
        with self._writing:
            self._read(brand)
            self._venues_due.update(key for key in self._venues if key[0] == brand)
            self._brands_due.add(brand)
            super().forget_brand(brand)
            self._write(urgent=True)

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Return entries, newest first: all that the file keeps, or those in memory while it cannot be read."""
        if self.up:
            try:
                return read_journal(self._path, query)
            except DamagedError as error:
                with self._writing:
                    self._lose(error, self._clock.now())
            except StoreError as error:
                LOG.warning("store.journal_unreadable", path=str(self._path), problem=str(error))
        return super().journal(query)

    def entries_after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow an id, oldest first, from the file where memory does not reach back so far."""
        with self._lock:
            in_memory = id_ >= self._last_id or (bool(self._entries) and self._entries[0].id <= id_ + 1)
        if not in_memory and self.up:
            try:
                return read_entries_after(self._path, id_, limit)
            except StoreError as error:
                LOG.warning("store.journal_unreadable", path=str(self._path), problem=str(error))
        return super().entries_after(id_, limit)

    def advance(self, consumer: str, id_: int) -> None:
        """Store a consumer's cursor."""
        with self._writing:
            super().advance(consumer, id_)
            self._cursors_due = True
            self._write(urgent=True)

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Store new states of deliveries, all at once; those that are done are deleted."""
        with self._writing:
            super().update_deliveries(deliveries)
            self._deliveries_due.update(delivery.id for delivery in deliveries)
            self._write(urgent=True)

    def close(self) -> None:
        """Write what is not written yet and close the file."""
        with self._writing:
            self._due = -math.inf
            self._write(urgent=True)
            if self._file:
                self._file.close()
                self._file = None
            self._due = math.inf

    def _write(self, *, urgent: bool) -> None:
        now = self._clock.now()
        if now.monotonic < self._due and (self._file is None or not urgent):
            return
        try:
            file = self._file or self._open(now)
            with self._lock:
                venues = {key: self._venues.get(key) for key in self._venues_due}
                brands = {name: self._brands.get(name) for name in self._brands_due}
                entries = list(takewhile(lambda entry: entry.id > file.last_id, reversed(self._entries)))[::-1]
                cursors = dict(self._cursors) if self._cursors_due else {}
                deliveries = {id_: self._deliveries.get(id_) for id_ in self._deliveries_due}
            file.write(venues, brands, entries=entries, cursors=cursors, deliveries=deliveries, wall=now.wall)
        except StoreError as error:
            self._lose(error, now)
            return
        self._written_id = file.last_id
        self._due = now.monotonic + FRESHNESS_SECONDS
        self._venues_due.clear()
        self._brands_due.clear()
        self._cursors_due = False
        self._deliveries_due.clear()
        if self._problem is not None:
            self._problem = None
            LOG.info("store.recovered", path=str(self._path))

    def _open(self, now: Instant) -> StateFile:
        """Open the file; what it has and memory has not is taken over the first time, and dropped later on."""
        file = StateFile(self._path, now, self._retention, set_aside=self._damaged)
        self._file = file
        self._damaged = False
        if file.kept:
            LOG.error(
                "store.set_aside",
                path=str(self._path),
                kept=str(file.kept),
                problem="the file is damaged: a new one is begun",
            )
        if self._loaded:
            self._unread &= file.unread
            for brand in file.unread - self._unread:
                file.read_venues(brand, now)
        else:
            self._loaded = True
            self._unread = set(file.unread)
            with self._lock:
                self._brands = {**file.brands, **self._brands}
                # What was emitted from memory before the file could be opened is emitted once more: never less.
                self._cursors = dict(file.cursors)
                later = [replace(one, id=one.id + file.last_delivery) for one in self._deliveries.values()]
                self._deliveries = {**file.deliveries, **{one.id: one for one in later}}
                self._last_delivery += file.last_delivery
            for brand in {brand for brand, _ in self._venues} & self._unread:
                self._take_over(file, brand, now)
        self._renumber(file.last_id)
        self._cursors_due = True
        self._deliveries_due = {*self._deliveries, *file.deliveries}
        self._venues_due = {*self._venues, *file.venues}
        self._brands_due = {*self._brands, *file.brands}
        return file

    def _read(self, brand: str) -> None:
        """Take over what the file has of a brand's venues and memory has not, the first time."""
        if brand not in self._unread:
            return
        with self._writing:
            file, now = self._file, self._clock.now()
            if brand not in self._unread or file is None:
                return
            try:
                self._take_over(file, brand, now)
            except DamagedError:
                # Set aside at once; a new file gets what is known.
                file.close()
                self._file, self._damaged, self._due = None, True, -math.inf
                self._write(urgent=True)
            except StoreError as error:
                self._lose(error, now)

    def _take_over(self, file: StateFile, brand: str, now: Instant) -> None:
        states = file.read_venues(brand, now)
        self._unread.discard(brand)
        known = file.brands.get(brand)
        # A process that was killed may have left venues that its brand no longer lists.
        listed = None if known is None else {venue.id for venue in known.venues or ()}
        with self._lock:
            for state in states:
                if listed is None or state.venue.id in listed:
                    self._venues.setdefault(state.venue.key, state)
        self._venues_due.update(state.venue.key for state in states)

    def _renumber(self, last_id: int) -> None:
        """Let the entries that no file holds yet follow those of this one, which may be another than before."""
        with self._lock:
            shift = last_id - self._written_id
            if shift > 0:
                for index, entry in enumerate(self._entries):
                    if entry.id > self._written_id:
                        self._entries[index] = replace(entry, id=entry.id + shift)
                self._last_id += shift
            self._written_id = last_id

    def _lose(self, error: StoreError, now: Instant) -> None:
        """Go on from memory, and log it once."""
        if self._file:
            self._file.close()
            self._file = None
        self._damaged = self._damaged or isinstance(error, DamagedError)
        self._due = now.monotonic + RETRY_SECONDS
        problem = str(error)
        if problem != self._problem:
            self._problem = problem
            effect = "serving goes on from memory until the file can be written again"
            LOG.error("store.unavailable", path=str(self._path), problem=problem, effect=effect)


def _brand_of(state: VenueState | BrandState) -> str:
    return state.brand if isinstance(state, BrandState) else state.venue.brand
