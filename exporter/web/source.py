"""Where pages and JSON take what they show: whoever wires them passes something of this shape in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from exporter.model import Event, Instant, Kind
from exporter.views import BrandView, VenueView


class Entry(Protocol):
    """One told change of the journal; times are epoch seconds, None is what the event is not about."""

    @property
    def id(self) -> int:
        """Give a number that grows with every entry."""

    @property
    def event(self) -> Event:
        """Tell what happened."""

    @property
    def observed_at(self) -> float:
        """Tell when we saw it."""

    @property
    def brand(self) -> str:
        """Give the brand."""

    @property
    def venue_id(self) -> str | None:
        """Give the venue's id."""

    @property
    def venue(self) -> str | None:
        """Give the venue's name at that time."""

    @property
    def station_id(self) -> str | None:
        """Give the station's id."""

    @property
    def station(self) -> str | None:
        """Give the station's name at that time."""

    @property
    def kind(self) -> Kind | None:
        """Give the station's kind at that time."""

    @property
    def updated_at(self) -> float | None:
        """Tell when the station was last edited, as Clopos says."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Give what only this event says."""


class Source(Protocol):
    """Everything that pages and JSON read. Asked in worker threads."""

    def now(self) -> Instant:
        """Give the moment on both clocks."""

    def venues(self) -> Sequence[VenueView]:
        """Give every venue; a view whose parts are the same objects as before has not changed."""

    def brands(self) -> Sequence[BrandView]:
        """Give every brand."""

    def journal(
        self,
        *,
        brand: str | None = None,
        venue_id: str | None = None,
        station_id: str | None = None,
        kind: Kind | None = None,
        events: frozenset[Event] = frozenset(),
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Entry]:
        """Give told changes, newest first: those of a filter that is set, all where none is.

        `since` is inclusive and `until` exclusive, epoch seconds; `before` is the id that the entries are older than.
        """
