"""What file and database share: everything is in memory, and what a poll changed is written before it ends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from threading import RLock
from typing import TypeVar

from structlog import get_logger

from exporter.clock import Clock
from exporter.errors import StoreError
from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Change, VenueKey, VenueState
from exporter.outbox import Delivery
from exporter.store.memory import JOURNAL_ROWS, MemoryStore

LOG = get_logger()

Key = TypeVar("Key")
State = TypeVar("State")

FRESHNESS_SECONDS = 10.0
"""How long what is stored may be behind where polls changed nothing but how fresh the data is."""


class DurableStore(MemoryStore, ABC):
    """Keep everything in memory, and write what changed, in one transaction, before `commit` returns.

    While that fails everything goes on from memory, which `effect` says in the log, and is made up for later. `place`
    names what is written to in the log.
    """

    effect: str

    def __init__(self, clock: Clock, journal_rows: int = JOURNAL_ROWS, *, place: str | None = None) -> None:
        super().__init__(journal_rows)
        self._clock = clock
        self._place = {} if place is None else {"path": place}
        self._writing = RLock()
        self._due = -math.inf
        self._venues_due: set[VenueKey] = set()
        self._brands_due: set[str] = set()
        self._deliveries_due: set[int] = set()

    def commit(
        self, *states: VenueState | BrandState, changes: Sequence[Change] = (), removed: Collection[VenueKey] = ()
    ) -> None:
        """Store states, changes and removals, and write them unless only the freshness is new. Never raises."""
        with self._writing:
            self._take(states, changes, removed)
            self._write(urgent=bool(changes or removed) or not all(map(self._is_stored, states)))
            self._trim()
        if changes:
            self._wake_consumers(changes)

    def forget_brand(self, brand: str) -> None:
        """Delete the state of a brand and of its venues, and their deliveries; their journal stays."""
        with self._writing:
            self._venues_due.update(state.venue.key for state in self.venues(brand))
            self._brands_due.add(brand)
            super().forget_brand(brand)
            self._write(urgent=True)

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Return all entries that are stored, newest first, or those in memory while they cannot be read."""
        if self.up:
            try:
                return self._read_journal(query)
            except StoreError as error:
                self._on_unreadable(error)
        return super().journal(query)

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Store new states of deliveries, all at once; those that are done are deleted."""
        with self._writing:
            super().update_deliveries(deliveries)
            self._deliveries_due.update(delivery.id for delivery in deliveries)
            self._write(urgent=True)

    @abstractmethod
    def _write(self, *, urgent: bool) -> None:
        """Write what is due, unless that can wait."""

    @abstractmethod
    def _is_stored(self, state: VenueState | BrandState) -> bool:
        """Return whether nothing of a state but how fresh it is needs to be written."""

    @abstractmethod
    def _read_journal(self, query: JournalQuery) -> list[Entry]:
        """Read the entries that are stored. Raises StoreError."""

    def _take(
        self, states: Sequence[VenueState | BrandState], changes: Sequence[Change], removed: Collection[VenueKey]
    ) -> None:
        last_delivery = self._last_delivery
        super()._take(states, changes, removed)
        self._deliveries_due.update(range(last_delivery + 1, self._last_delivery + 1))
        self._venues_due.update(removed)
        for state in states:
            if isinstance(state, VenueState):
                self._venues_due.add(state.venue.key)
            else:
                self._brands_due.add(state.brand)

    def _lose(self, error: StoreError) -> None:
        """Go on from memory, and log it once."""
        problem = str(error)
        if problem != self.problem:
            self.problem = problem
            LOG.error("store.unavailable", **self._place, problem=problem, effect=self.effect)

    def _recover(self) -> None:
        if self.problem is not None:
            self.problem = None
            LOG.info("store.recovered", **self._place)

    def _on_unreadable(self, error: StoreError) -> None:
        LOG.warning("store.journal_unreadable", **self._place, problem=str(error))


def is_same(
    state: VenueState | BrandState, venues: Mapping[VenueKey, VenueState], brands: Mapping[str, BrandState]
) -> bool:
    """Return whether a state is among those that are stored, apart from how fresh it is."""
    if isinstance(state, BrandState):
        return state == brands.get(state.brand)
    saved = venues.get(state.venue.key)
    return (
        saved is not None
        and state.stations is saved.stations
        and state.transitions is saved.transitions
        and state.outage is saved.outage
        and state.incidents is saved.incidents
        and state.records is saved.records
    )


def merge(held: dict[Key, State], written: Mapping[Key, State | None]) -> None:
    """Take over what was written: a state, or None for one that is gone."""
    for key, state in written.items():
        if state is None:
            held.pop(key, None)
        else:
            held[key] = state
