"""The figures and timelines that the pages show of venues, brands and stations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Any

from exporter.journal import Entry
from exporter.model import Instant, StationState
from exporter.views import BrandView, VenueView
from exporter.web import timeline
from exporter.web.board import Tile, is_late
from exporter.web.troubles import is_current


class Totals:
    """The figures under the headline."""

    def __init__(self, tiles: Sequence[Tile], views: Sequence[VenueView], now: Instant) -> None:
        self.venues = len(views)
        self.tried = sum(view.state.polled_at is not None for view in views)
        self.read = sum(is_current(view) for view in views)
        self.stations = sum(tile.total for tile in tiles)
        self.active = sum(tile.active for tile in tiles)
        not_read = [tile.view.state.stations for tile in tiles if not tile.is_current]
        self.unknown_venues = len(not_read)
        # None where the number is not known either: of a venue that was never read.
        self.unknown = None if None in not_read else sum(len(stations) for stations in not_read if stations)
        self.oldest = oldest(views, now)
        self.late = sum(view.state.outage is None and (view.overdue or is_late(view, now)) for view in views)

    @property
    def is_read(self) -> bool:
        """Return whether every venue has been read, and there is one."""
        return 0 < self.venues == self.read


class Freshness:
    """How well we see a brand, of whose venues these are the views."""

    def __init__(self, brand: BrandView, mine: Sequence[VenueView], now: Instant) -> None:
        self.brand = brand
        self.name = brand.state.brand
        self.outage = brand.state.login_outage or brand.state.outage
        self.venues = len(mine)
        self.answering = sum(is_current(view) for view in mine)
        failing = bool(mine) and all(view.state.outage is not None for view in mine)
        self.lost = failing or (not self.answering and self.outage is not None)
        self.never_read = brand.state.venues is None
        self.oldest = oldest(mine, now)
        self.interval = max((view.interval for view in mine), default=brand.interval)
        self.late = any(is_late(view, now) or view.overdue for view in mine)


def oldest(views: Iterable[VenueView], now: Instant) -> float | None:
    """Return the age of the oldest data in seconds; None where there is none."""
    return max((now.monotonic - at for view in views if (at := view.state.fresh_at) is not None), default=None)


class Line:
    """The timeline of a station, as rectangles on a strip that is 1000 wide."""

    def __init__(
        self, station_state: StationState, entries: Iterable[Entry], start: float, now: float, seen_at: float
    ) -> None:
        mine = [entry for entry in entries if entry.station_id == station_state.station.id]
        spans = timeline.status_spans(station_state, mine, start, max(start, min(seen_at, now)))
        if seen_at < now:
            spans.append(timeline.Span(max(start, seen_at), now, None))
        disabled = [span for span in spans if span.active is False]
        self.station_state = station_state
        self.spans = [rectangle(span, start, now) for span in spans]
        self.known = sum(span.end - span.start for span in spans if span.active is not None)
        self.share = timeline.share_active(spans)
        self.times = len(disabled)
        self.periods = [(span.start, span.end) for span in disabled[:-4:-1]]
        self.seconds = sum(span.end - span.start for span in disabled)


def rectangle(span: timeline.Span, start: float, now: float) -> dict[str, Any]:
    """Return a span as a rectangle on a strip that is 1000 wide and lasts from `start` to `now`."""
    scale = 1000 / (now - start)
    return {
        "x": round((span.start - start) * scale, 1),
        # A moment is still to be seen.
        "width": max(2.0, round((span.end - span.start) * scale, 1)),
        "what": {True: "active", False: "disabled", None: "unknown"}[span.active],
        "start": span.start,
        "end": span.end,
    }


def common_zone(views: Iterable[VenueView]) -> tzinfo | None:
    """Return the time zone of all venues, None where they have several or none."""
    zones = {view.rules.time_zone for view in views}
    return zones.pop() if len(zones) == 1 else None
