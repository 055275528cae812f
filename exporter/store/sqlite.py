"""A store that survives restarts: everything in memory, and what changed in a SQLite file."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from structlog import get_logger

from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Change, Instant, Venue, VenueKey, VenueState
from exporter.store.durable import FRESHNESS_SECONDS, DurableStore, is_same
from exporter.store.file import DamagedError, InUseError, StateFile, read_entries_after, read_journal

LOG = get_logger()

RETRY_SECONDS = 30.0
"""How long a file that cannot be written is left alone."""


class SQLiteStore(DurableStore):
    """Keep states and the journal in memory and in a file, which catches up as soon as it can be written again.

    The venues of a brand are read when the brand is first asked for, so that a start with thousands does not wait for
    all. Raises InUseError where another process writes the same file.
    """

    effect = "serving goes on from memory until the file can be written again"

    def __init__(self, path: Path, clock: Clock, journal_retention: float) -> None:
        self._path = path.resolve()
        super().__init__(clock, place=str(self._path))
        self._retention = journal_retention
        self._file: StateFile | None = None
        self._loaded = False
        self._unread: set[str] = set()
        self._damaged = False
        self._cursor_due = False
        self._written_id = 0
        try:
            self._open(clock.now())
        except InUseError:
            raise
        except StoreError as error:
            self._lose(error)

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

    def entries_after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow an id, oldest first, from the file where memory does not reach back so far."""
        with self._lock:
            in_memory = id_ >= self._last_id or (bool(self._entries) and self._entries[0].id <= id_ + 1)
        if not in_memory and self.up:
            try:
                return read_entries_after(self._path, id_, limit)
            except StoreError as error:
                self._on_unreadable(error)
                return ()  # Read again soon: going on from memory would pass over what only the file has.
        return super().entries_after(id_, limit)

    def advance(self, id_: int) -> None:
        """Store the cursor of the log."""
        with self._writing:
            super().advance(id_)
            self._cursor_due = True
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

    def _take(
        self, states: Sequence[VenueState | BrandState], changes: Sequence[Change], removed: Collection[VenueKey]
    ) -> None:
        for brand in {key[0] for key in removed} | {_brand_of(state) for state in states}:
            self._read(brand)
        super()._take(states, changes, removed)

    def _is_stored(self, state: VenueState | BrandState) -> bool:
        return self._file is not None and is_same(state, self._file.venues, self._file.brands)

    def _read_journal(self, query: JournalQuery) -> list[Entry]:
        return read_journal(self._path, query)

    def _on_unreadable(self, error: StoreError) -> None:
        if isinstance(error, DamagedError):
            with self._writing:
                self._lose(error)
        else:
            super()._on_unreadable(error)

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
                cursor = self._cursor if self._cursor_due else None
                deliveries = {id_: self._deliveries.get(id_) for id_ in self._deliveries_due}
            file.write(venues, brands, entries=entries, cursor=cursor, deliveries=deliveries, now=now)
        except StoreError as error:
            self._lose(error)
            return
        self._written_id = file.last_id
        self._due = now.monotonic + FRESHNESS_SECONDS
        self._venues_due.clear()
        self._brands_due.clear()
        self._cursor_due = False
        self._deliveries_due.clear()
        self._recover()

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
                self._cursor = file.cursor
                later = [replace(one, id=one.id + file.last_delivery) for one in self._deliveries.values()]
                self._deliveries = {**file.deliveries, **{one.id: one for one in later}}
                self._last_delivery += file.last_delivery
            for brand in {brand for brand, _ in self._venues} & self._unread:
                self._take_over(file, brand, now)
        self._renumber(file.last_id)
        self._cursor_due = True
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
                self._lose(error)

    def _take_over(self, file: StateFile, brand: str, now: Instant) -> None:
        states = file.read_venues(brand, now)
        self._unread.discard(brand)
        known = file.brands.get(brand)
        # A process that was killed may have left venues that its brand no longer lists.
        listed = None if known is None or known.venues is None else {venue.id for venue in known.venues}
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

    def _lose(self, error: StoreError) -> None:
        if self._file:
            self._file.close()
            self._file = None
        self._damaged = self._damaged or isinstance(error, DamagedError)
        self._due = self._clock.monotonic() + RETRY_SECONDS
        super()._lose(error)


def _brand_of(state: VenueState | BrandState) -> str:
    return state.brand if isinstance(state, BrandState) else state.venue.brand
