"""Serve scrapes at memory speed: text is made when a venue changes, and only joined when Prometheus asks.

Each family is a column of blocks, and a block holds the sample lines of some venues. A poll renders its venue's lines
and puts them into their places; a scrape joins the blocks. For gzip, a block is compressed once, and again only after
one of its venues changed; where most of a column's blocks did, the column is compressed as one. What is about the
process itself changes all the time and is rendered at most once a second.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import chain
from threading import Lock

from exporter import negotiation
from exporter.clock import Clock
from exporter.metrics import deflate
from exporter.metrics.deflate import Deflated
from exporter.metrics.families import KIND, STATION, TRANSITION, VENUE_FAMILIES
from exporter.metrics.render import header, lines
from exporter.metrics.telemetry import Telemetry
from exporter.model import VenueKey
from exporter.views import Scrape, VenueView

BLOCK = 32
"""Venues that share a block: enough to compress well and join quickly, few enough to compress again quickly."""

MANY_BLOCKS = 64
"""Blocks of a column from which on it is compressed as one if most of them changed: each call costs as much as 2 KB."""

LARGEST_DOCUMENT = 30_000_000
"""Bytes of text that are joined to one document at the most: the C library takes larger ones from the system each time,
and to touch so many new pages costs more than to copy. Most scrapes want gzip, which is far from it.
"""

TELEMETRY_AGE = 1.0
"""Seconds that the text about the process itself is kept."""

# The families up to here depend on the stations alone, and stations seldom change.
_STATION_FAMILIES = 1 + max(i for i, family in enumerate(VENUE_FAMILIES) if family.scope in (STATION, KIND, TRANSITION))


class _Block:
    """The lines that one family has of some venues, one after the other."""

    __slots__ = ("_ends", "_packed", "text")

    def __init__(self) -> None:
        self.text = b""
        self._ends = [0] * BLOCK
        self._packed: Deflated | None = None

    def put(self, place: int, lines: bytes) -> bool:
        """Replace the lines of one venue, and return whether they differ."""
        start, end = self._ends[place - 1] if place else 0, self._ends[place]
        if self.text[start:end] == lines:
            return False
        self.text = b"".join((self.text[:start], lines, self.text[end:]))
        self._packed = None
        grown = len(lines) - (end - start)
        if grown:
            self._ends[place:] = [end + grown for end in self._ends[place:]]
        return True

    def packed(self) -> Deflated:
        """Return the lines compressed."""
        if self._packed is None:
            self._packed = deflate.compress(self.text)
        return self._packed


class Exposition:
    """Hold the text of all venues and answer scrapes with it; safe to be updated and scraped at the same time."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry, self._clock = telemetry, clock
        self._lock = Lock()
        self._views: dict[VenueKey, VenueView] = {}
        self._slots: dict[VenueKey, int] = {}
        self._free: list[int] = []
        self._columns: list[list[_Block]] = [[] for _ in VENUE_FAMILIES]
        self._packed_columns: list[Deflated | None] = [None for _ in VENUE_FAMILIES]
        self._changed: list[set[int]] = [set() for _ in VENUE_FAMILIES]  # blocks, since their column was compressed
        self._documents: dict[tuple[bool, bool], tuple[float, bytes]] = {}
        self._tails: dict[bool, tuple[float, bytes]] = {}
        self._headers = {om: [header(f, openmetrics=om) for f in VENUE_FAMILIES] for om in (False, True)}
        self._packed_headers = {om: [deflate.compress(h) for h in self._headers[om]] for om in (False, True)}

    def update(self, view: VenueView) -> None:
        """Render what is new in a venue's view."""
        key = view.state.venue.key
        before = self._views.get(key)
        first = _STATION_FAMILIES if before is not None and _same_stations(before, view) else 0
        chunks = lines(VENUE_FAMILIES[first:], view)
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = self._new_slot()
            self._views[key] = view
            self._put(slot, chunks, first)

    def expire_telemetry(self) -> None:
        """Render what is about the process again with the next scrape."""
        with self._lock:
            self._tails.clear()

    def remove(self, key: VenueKey) -> None:
        """Remove a venue's text: what vanished from Clopos vanishes from the scrape."""
        with self._lock:
            slot = self._slots.pop(key, None)
            if slot is not None:
                del self._views[key]
                self._put(slot, [b""] * len(VENUE_FAMILIES), 0)
                self._free.append(slot)

    def scrape(self, accept: str, accept_encoding: str, names: frozenset[str] = frozenset()) -> Scrape:
        """Answer a scrape in the format and encoding it prefers, limited to the samples of `names` if there are any."""
        openmetrics = negotiation.prefers_openmetrics(accept)
        gzip = negotiation.accepts_gzip(accept_encoding)
        with self._lock:
            chunks = self._some(names, openmetrics, gzip) if names else self._whole(openmetrics, gzip)
        return Scrape(chunks, negotiation.content_type(openmetrics=openmetrics), "gzip" if gzip else None)

    def _put(self, slot: int, chunks: list[bytes], first: int) -> None:
        block, place = divmod(slot, BLOCK)
        for i, chunk in enumerate(chunks, first):
            if self._columns[i][block].put(place, chunk):
                self._packed_columns[i] = None
                self._changed[i].add(block)
                self._documents.clear()  # Now rather than with the next scrape: they are by far the largest we hold.

    def _new_slot(self) -> int:
        if self._free:
            return self._free.pop()
        slot = len(self._slots)
        if slot % BLOCK == 0:
            for column in self._columns:
                column.append(_Block())
        return slot

    def _whole(self, openmetrics: bool, gzip: bool) -> Sequence[bytes]:  # noqa: FBT001 - one of four cached documents
        made, tail = self._tail(openmetrics)
        kept = self._documents.get((openmetrics, gzip))
        if kept is not None and kept[0] == made:
            return (kept[1],)
        if gzip:
            families = zip(
                self._packed_headers[openmetrics], map(self._packed, range(len(VENUE_FAMILIES))), strict=True
            )
            body = deflate.gzip(deflate.join([*chain.from_iterable(families), deflate.compress(tail)]))
        else:
            chunks = self._plain(openmetrics, range(len(VENUE_FAMILIES)), tail)
            if sum(map(len, chunks)) > LARGEST_DOCUMENT:
                return chunks
            body = b"".join(chunks)
        self._documents[openmetrics, gzip] = made, body
        return (body,)

    def _some(self, names: frozenset[str], openmetrics: bool, gzip: bool) -> Sequence[bytes]:  # noqa: FBT001 - as in _whole
        wanted = [i for i, family in enumerate(VENUE_FAMILIES) if family.name in names]
        tail = self._telemetry.text(names, openmetrics=openmetrics)
        chunks = self._plain(openmetrics, wanted, tail)
        return (zlib.compress(b"".join(chunks), deflate.LEVEL, 16 + zlib.MAX_WBITS),) if gzip else chunks

    def _plain(self, openmetrics: bool, wanted: Iterable[int], tail: bytes) -> list[bytes]:  # noqa: FBT001 - as in _whole
        chunks = []
        for i in wanted:
            chunks.append(self._headers[openmetrics][i])
            chunks += [block.text for block in self._columns[i]]
        chunks.append(tail)
        return chunks

    def _packed(self, i: int) -> Deflated:
        """Return a family's compressed lines, compressing what changed since."""
        packed = self._packed_columns[i]
        if packed is None:
            blocks, changed = self._columns[i], self._changed[i]
            # Each call lets other threads have the interpreter, and has to wait for it again.
            if len(changed) > max(MANY_BLOCKS, len(blocks) // 2) and i >= _STATION_FAMILIES:
                packed = deflate.compress(b"".join([block.text for block in blocks]))
            else:
                packed = deflate.join(block.packed() for block in blocks)
            self._packed_columns[i] = packed
            changed.clear()
        return packed

    def _tail(self, openmetrics: bool) -> tuple[float, bytes]:  # noqa: FBT001 - as in _whole
        now = self._clock.monotonic()
        made, text = self._tails.get(openmetrics, (now - 2 * TELEMETRY_AGE, b""))
        if now - made >= TELEMETRY_AGE:
            made, text = self._tails[openmetrics] = now, self._telemetry.text(frozenset(), openmetrics=openmetrics)
        return made, text


def _same_stations(before: VenueView, after: VenueView) -> bool:
    return (
        before.state.stations is after.state.stations
        and before.state.transitions is after.state.transitions
        and before.state.venue == after.state.venue
        and before.stale == after.stale
        and before.ignored == after.ignored
    )
