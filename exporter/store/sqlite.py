"""A store that survives restarts: everything in memory, and what changed in a SQLite file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from threading import RLock

from structlog import get_logger

from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.model import BrandState, Change, Instant, VenueKey, VenueState
from exporter.store.file import DamagedError, InUseError, StateFile, read_journal
from exporter.store.journal import Entry, JournalQuery
from exporter.store.memory import MemoryStore

LOG = get_logger()

FRESHNESS_SECONDS = 10.0
"""How long the file may be behind where a poll changed nothing but how fresh the data is."""

RETRY_SECONDS = 30.0
"""How long a file that cannot be written is left alone."""


class SQLiteStore(MemoryStore):
    """Keep states and the journal in memory and in a file.

    What a poll changed is written before `remember` returns. While the file cannot be written everything goes on from
    memory, and the file catches up as soon as it can. Raises InUseError where another process writes the same file.
    """

    def __init__(self, path: Path, clock: Clock, journal_retention: float) -> None:
        super().__init__()
        self._path = path.resolve()
        self._clock = clock
        self._retention = journal_retention
        self._writing = RLock()
        self._file: StateFile | None = None
        self._loaded = False
        self._damaged = False
        self._problem: str | None = None
        self._due = -math.inf
        self._venues_due: set[VenueKey] = set()
        self._brands_due: set[str] = set()
        now = clock.now()
        try:
            self._open(now)
        except InUseError:
            raise
        except StoreError as error:
            self._lose(error, now)

    @property
    def up(self) -> bool | None:
        """Tell whether the state can be written."""
        return self._file is not None

    def remember(self, state: VenueState | BrandState, changes: Sequence[Change]) -> None:
        """Take in what a poll led to, and write it unless only the freshness is new. Never raises for the disk."""
        with self._writing:
            self._take(state, changes)
            if isinstance(state, VenueState):
                self._venues_due.add(state.venue.key)
            else:
                self._brands_due.add(state.brand)
            self._write(urgent=bool(changes) or (self._file is not None and not self._file.holds(state)))
            self._trim()

    def forget_venue(self, key: VenueKey) -> None:
        """Drop the state of a venue; its journal stays."""
        with self._writing:
            super().forget_venue(key)
            self._venues_due.add(key)
            self._write(urgent=True)

    def forget_brand(self, brand: str) -> None:
        """Drop the state of a brand and of its venues; their journal stays."""
        with self._writing:
            self._venues_due.update(key for key in self._venues if key[0] == brand)
            self._brands_due.add(brand)
            super().forget_brand(brand)
            self._write(urgent=True)

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Give told changes, newest first: as many as the file keeps, and what is in memory while it cannot be read."""
        if self.up:
            try:
                return read_journal(self._path, query)
            except DamagedError as error:
                with self._writing:
                    self._lose(error, self._clock.now())
            except StoreError as error:
                LOG.warning("store.journal_unreadable", path=str(self._path), problem=str(error))
        return super().journal(query)

    def close(self) -> None:
        """Write what is not written yet and let go of the file."""
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
            file.write(venues, brands, entries, now.wall)
        except StoreError as error:
            self._lose(error, now)
            return
        self._due = now.monotonic + FRESHNESS_SECONDS
        self._venues_due.clear()
        self._brands_due.clear()
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
        if not self._loaded:
            self._loaded = True
            with self._lock:
                self._venues = {**file.venues, **self._venues}
                self._brands = {**file.brands, **self._brands}
                for index, entry in enumerate(self._entries):
                    self._entries[index] = replace(entry, id=entry.id + file.last_id)
                self._last_id += file.last_id
        self._venues_due = {*self._venues, *file.venues}
        self._brands_due = {*self._brands, *file.brands}
        return file

    def _lose(self, error: StoreError, now: Instant) -> None:
        """Go on from memory; say so once."""
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
