"""What every store can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from exporter.model import BrandState, Change, Venue, VenueKey, VenueState
from exporter.store.journal import Entry, JournalQuery


class Store(Protocol):
    """Remember states and told changes. Every method may be called from any thread."""

    @property
    def up(self) -> bool | None:
        """Tell whether the state can be written; None where there is nothing to write to."""

    def venue(self, venue: Venue) -> VenueState:
        """Give what is known of a venue: an empty state where nothing is."""

    def brand(self, brand: str) -> BrandState:
        """Give what is known of a brand: an empty state where nothing is."""

    def venues(self) -> Sequence[VenueState]:
        """Give every venue that is known."""

    def brands(self) -> Sequence[BrandState]:
        """Give every brand that is known."""

    def remember(self, state: VenueState | BrandState, changes: Sequence[Change]) -> None:
        """Take in what a poll led to. Never raises for the sake of a disk."""

    def forget_venue(self, key: VenueKey) -> None:
        """Drop the state of a venue; its journal stays."""

    def forget_brand(self, brand: str) -> None:
        """Drop the state of a brand and of its venues; their journal stays."""

    def journal(self, query: JournalQuery) -> list[Entry]:
        """Give told changes, newest first."""

    def close(self) -> None:
        """Write what is not written yet and let go of the file."""
