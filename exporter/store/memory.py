"""A store that lives as long as the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from threading import RLock

from exporter.model import BrandState, Change, Venue, VenueKey, VenueState
from exporter.store.journal import Entry, JournalQuery

JOURNAL_ROWS = 10_000
"""Entries kept in memory: some 3 MB."""


class MemoryStore:
    """Keep states and the newest part of the journal in memory."""

    def __init__(self, journal_rows: int = JOURNAL_ROWS) -> None:
        self._lock = RLock()
        self._venues: dict[VenueKey, VenueState] = {}
        self._brands: dict[str, BrandState] = {}
        self._entries: deque[Entry] = deque()
        self._journal_rows = journal_rows
        self._last_id = 0

    @property
    def up(self) -> bool | None:
        """Give None: there is nothing to write to."""
        return None

    def venue(self, venue: Venue) -> VenueState:
        """Give what is known of a venue: an empty state where nothing is."""
        return self._venues.get(venue.key) or VenueState(venue)

    def brand(self, brand: str) -> BrandState:
        """Give what is known of a brand: an empty state where nothing is."""
        return self._brands.get(brand) or BrandState(brand)

    def venues(self) -> Sequence[VenueState]:
        """Give every venue that is known."""
        with self._lock:
            return list(self._venues.values())

    def brands(self) -> Sequence[BrandState]:
        """Give every brand that is known."""
        with self._lock:
            return list(self._brands.values())

    def remember(self, state: VenueState | BrandState, changes: Sequence[Change]) -> None:
        """Take in what a poll led to."""
        self._take(state, changes)
        self._trim()

    def forget_venue(self, key: VenueKey) -> None:
        """Drop the state of a venue; its journal stays."""
        with self._lock:
            self._venues.pop(key, None)

    def forget_brand(self, brand: str) -> None:
        """Drop the state of a brand and of its venues; their journal stays."""
        with self._lock:
            self._brands.pop(brand, None)
            self._venues = {key: state for key, state in self._venues.items() if key[0] != brand}

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Give told changes, newest first."""
        with self._lock:
            return list(islice(filter(query.matches, reversed(self._entries)), query.limit))

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _take(self, state: VenueState | BrandState, changes: Sequence[Change]) -> None:
        with self._lock:
            if isinstance(state, VenueState):
                self._venues[state.venue.key] = state
            else:
                self._brands[state.brand] = state
            for change in changes:
                self._last_id += 1
                self._entries.append(Entry.of(self._last_id, change))

    def _trim(self) -> None:
        with self._lock:
            while len(self._entries) > self._journal_rows:
                self._entries.popleft()
