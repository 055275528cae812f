"""The search and the filters of the pages, parsed from an address; what is invalid is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from exporter.journal import JournalQuery
from exporter.model import Kind, Venue
from exporter.web.board import Tile, searchable
from exporter.web.responses import href
from exporter.web.troubles import Level
from exporter.web.wording import EVENTS, TOPICS

TILES = 48
"""Venues on the first page: a phone gets them at once, and the worst are among them."""

MAX_TILES = 1000
"""Venues on one page at most."""


class Search:
    """What a reader wants to see of the board; what makes no sense is left aside."""

    def __init__(self, query: Mapping[str, str]) -> None:
        rows = query.get("rows", "")
        self.q = query.get("q", "")[:100]
        self.brand = query.get("brand", "")
        self.troubled = query.get("show") == "troubles"
        self.rows = TILES
        if rows.isascii() and rows.isdigit():
            self.rows = min(int(rows), MAX_TILES) if len(rows) <= len(str(MAX_TILES)) else MAX_TILES
        self._terms = searchable(self.q).split()

    def wants(self, tile: Tile) -> bool:
        """Return whether a venue is wanted."""
        return (
            self.brand in ("", tile.venue.brand)
            and (not self.troubled or tile.level > Level.QUIET)
            and all(term in tile.text for term in self._terms)
        )

    def more(self, rows: int) -> str:
        """Return the address of the same search with another number of venues."""
        show = "troubles" if self.troubled else None
        return href("./", q=self.q or None, brand=self.brand or None, show=show, rows=rows) + "#venues"


class ChangeFilters:
    """Which changes a reader wants to see; what makes no sense is left aside."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self.brand = query.get("brand") or None
        self.venue_id = query.get("venue_id") or None
        if venue := query.get("venue"):  # of the form, which has one field for both
            self.brand, _, self.venue_id = map(unquote, venue.partition("/"))
        kind, topic = query.get("kind", ""), query.get("event", "")
        self.kind = Kind(kind) if kind in (Kind.KITCHEN, Kind.OTHER) else None
        self.event = topic if topic in TOPICS else None

    @property
    def query(self) -> JournalQuery:
        """Return the filters of the journal."""
        events = frozenset(event for event, said in EVENTS.items() if self.event in (None, said.topic))
        return JournalQuery(brand=self.brand, venue_id=self.venue_id, kind=self.kind, events=events)

    @property
    def is_set(self) -> bool:
        """Return whether anything is left out."""
        return any((self.brand, self.venue_id, self.kind, self.event))

    def href(self, before: int | None = None) -> str:
        """Return the address of the changes with these filters, of those before an entry if one is given."""
        return href(
            "changes", brand=self.brand, venue_id=self.venue_id, kind=self.kind, event=self.event, before=before
        )


def venue_value(venue: Venue) -> str:
    """Return a venue as the one value that a form sends."""
    return "/".join(quote(part, safe="", errors="replace") for part in venue.key)
