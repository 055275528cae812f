"""What pages and JSON read from: an interface that `exporter.app.source` implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from exporter.journal import Entry, JournalQuery
from exporter.model import Incident, Instant
from exporter.views import BrandView, VenueView


class Source(Protocol):
    """Everything that pages and JSON read. Asked in worker threads."""

    def give_way(self) -> None:
        """Wait while a scrape is answered, a moment at the most: called every now and then by what takes long."""

    def now(self) -> Instant:
        """Return the moment on both clocks."""

    def venues(self) -> Sequence[VenueView]:
        """Return every venue; a view whose parts are the same objects as before has not changed."""

    def venues_from(self, key: tuple[str, ...], limit: int) -> Sequence[VenueView]:
        """Return the first venues whose keys are not before a key, in the order of keys."""

    def brands(self) -> Sequence[BrandView]:
        """Return every brand."""

    def process_incidents(self) -> Mapping[str, Incident]:
        """Return the incidents of the process itself by key, pending or firing."""

    def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Return changes, newest first."""
