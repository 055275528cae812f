"""A store that lives as long as the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from threading import RLock

from exporter.journal import Entry, JournalQuery
from exporter.model import BrandState, Change, Venue, VenueKey, VenueState
from exporter.outbox import Delivery, DeliveryState, Route, route

FORGET_SECONDS = 7 * 86_400.0
"""Seconds for which a brand is remembered that the configuration no longer names: it may come back tomorrow."""

JOURNAL_ROWS = 10_000
"""Entries kept in memory: some 3 MB."""


class MemoryStore:
    """Keep states, deliveries and the newest part of the journal in memory.

    `routes` says which channel gets which incident: their deliveries are stored together with the change.
    """

    def __init__(self, journal_rows: int = JOURNAL_ROWS) -> None:
        self._lock = RLock()
        self._venues: dict[VenueKey, VenueState] = {}
        self._brands: dict[str, BrandState] = {}
        self._entries: deque[Entry] = deque()
        self._journal_rows = journal_rows
        self._last_id = 0
        self._cursor = 0
        self._consumers: list[Callable[[], None]] = []
        self._incident_consumers: list[Callable[[], None]] = []
        self.routes: Sequence[Route] = ()
        self._deliveries: dict[int, Delivery] = {}
        self._last_delivery = 0
        self.problem: str | None = None

    @property
    def up(self) -> bool | None:
        """Return None: there is nothing to write to."""
        return None

    def owns(self, brand: str) -> bool:
        """Return whether this process may poll a brand and write its rows: one that shares nothing may."""
        del brand
        return True

    def taken_over(self, brand: str) -> bool:
        """Return whether another process polled the brand before."""
        del brand
        return False

    def venue(self, venue: Venue) -> VenueState:
        """Return the state of a venue: an empty one where nothing is known."""
        return self._venues.get(venue.key) or VenueState(venue)

    def brand(self, brand: str) -> BrandState:
        """Return the state of a brand: an empty one where nothing is known."""
        return self._brands.get(brand) or BrandState(brand)

    def venues(self, brand: str | None = None) -> Sequence[VenueState]:
        """Return the state of every known venue, of one brand or all."""
        with self._lock:
            return [state for key, state in self._venues.items() if brand in (None, key[0])]

    def brands(self) -> Sequence[BrandState]:
        """Return the state of every known brand."""
        with self._lock:
            return list(self._brands.values())

    def commit(
        self, *states: VenueState | BrandState, changes: Sequence[Change] = (), removed: Collection[VenueKey] = ()
    ) -> None:
        """Store new states and the changes that led to them, and delete removed venues, all at once."""
        self._take(states, changes, removed)
        self._trim()
        if changes:
            self._wake_consumers(changes)

    def forget_brand(self, brand: str) -> None:
        """Delete the state of a brand and of its venues, and their deliveries; their journal stays."""
        with self._lock:
            self._brands.pop(brand, None)
            self._venues = {key: state for key, state in self._venues.items() if key[0] != brand}
            forgotten = [delivery for delivery in self._deliveries.values() if delivery.change.brand == brand]
        self.update_deliveries([replace(delivery, state=DeliveryState.DONE) for delivery in forgotten])

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Return entries of the journal, newest first."""
        with self._lock:
            return list(islice(filter(query.matches, reversed(self._entries)), query.limit))

    def entries_after(self, id_: int, limit: int) -> Sequence[Entry]:
        """Return the entries that follow an id, oldest first; what was deleted meanwhile is skipped."""
        with self._lock:
            start = max(0, id_ + 1 - self._entries[0].id) if self._entries else 0
            return list(islice(self._entries, start, start + limit))

    def cursor(self) -> int:
        """Return the id of the last entry that was emitted, 0 before the first."""
        return self._cursor

    def advance(self, id_: int) -> None:
        """Store the cursor of the log."""
        self._cursor = id_

    def deliveries(self, channel: str) -> Sequence[Delivery]:
        """Return the deliveries of a channel that are not done, in the order of their ids."""
        with self._lock:
            return [delivery for _, delivery in sorted(self._deliveries.items()) if delivery.channel == channel]

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Store new states of deliveries, all at once; those that are done are deleted."""
        with self._lock:
            for delivery in deliveries:
                known = self._deliveries.get(delivery.id)
                if known is None or known.change != delivery.change:
                    continue  # A message may be on its way while its channel is removed or a file renumbers the rows.
                if delivery.state is DeliveryState.DONE:
                    self._deliveries.pop(delivery.id, None)
                else:
                    self._deliveries[delivery.id] = delivery

    def retain_channels(self, names: Collection[str]) -> None:
        """Delete the deliveries of every other channel."""
        with self._lock:
            gone = [delivery for delivery in self._deliveries.values() if delivery.channel not in names]
        self.update_deliveries([replace(delivery, state=DeliveryState.DONE) for delivery in gone])

    def subscribe(self, wake: Callable[[], None], *, incidents_only: bool = False) -> None:
        """Call something quick whenever the journal has grown, or only where an incident began or ended."""
        (self._incident_consumers if incidents_only else self._consumers).append(wake)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _take(
        self, states: Sequence[VenueState | BrandState], changes: Sequence[Change], removed: Collection[VenueKey]
    ) -> None:
        with self._lock:
            for key in removed:
                self._venues.pop(key, None)
            for state in states:
                if isinstance(state, VenueState):
                    self._venues[state.venue.key] = state
                else:
                    self._brands[state.brand] = state
            for change in changes:
                self._last_id += 1
                self._entries.append(Entry.of(self._last_id, change))
            for channel, change in route(changes, self.routes, self._deliveries.values()):
                self._last_delivery += 1
                delivery = Delivery(self._last_delivery, channel, change, change.observed_at)
                self._deliveries[delivery.id] = delivery

    def _trim(self) -> None:
        with self._lock:
            while len(self._entries) > self._journal_rows:
                self._entries.popleft()

    def _wake_consumers(self, changes: Iterable[Change] | None = None) -> None:
        """Wake who has to know of these changes; everybody, where nobody knows what is new."""
        for wake in self._consumers:
            wake()
        if changes is None or any(change.incident for change in changes):
            for wake in self._incident_consumers:
                wake()
