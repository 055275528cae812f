"""What the pages and the JSON API read, taken from overview, brands and store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from exporter.app.overview import Overview
from exporter.clock import Clock
from exporter.model import Instant
from exporter.store import Entry, JournalQuery, Store
from exporter.views import BrandView, VenueView


class ReaderSource:
    """Answer readers from what is held in memory, and from the journal."""

    def __init__(
        self, clock: Clock, overview: Overview, brands: Callable[[], Sequence[BrandView]], store: Store
    ) -> None:
        self.now: Callable[[], Instant] = clock.now
        self.venues: Callable[[], Sequence[VenueView]] = overview.venues
        self.brands = brands
        self._store = store

    def journal(self, **filters: Any) -> list[Entry]:
        """Give told changes, newest first, by the filters of JournalQuery."""
        return self._store.journal(JournalQuery(**filters))
