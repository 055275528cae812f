"""The pages for people: what is wrong now, all venues, what changed lately, and how fresh all that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exporter.model import Instant, Kind, StationState
from exporter.views import BrandView, VenueView
from exporter.web import timeline, words
from exporter.web.board import Board, Tile, in_order, is_late, searchable
from exporter.web.responses import Endpoint, compressed, href, one_at_a_time
from exporter.web.source import Entry, Source
from exporter.web.troubles import Level, blindnesses, station_troubles

TILES = 48
"""Venues on the first page: a phone gets them at once, and the worst are among them."""

LISTED = 12
"""Troubles in full view; more of them are folded."""

CHANGES = 12
OLDER_CHANGES = 50
JOURNAL = 5_000
"""Entries of one venue that its timelines are made of: more than a week of flapping."""

SPANS = {
    "day": (words.DAY, ("24 h ago", "18 h", "12 h", "6 h", "now")),
    "week": (7 * words.DAY, ("7 days ago", "6", "5", "4", "3", "2", "1", "now")),
}

STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


def page_routes(source: Source, *, telemetry_path: str = "/metrics") -> list[BaseRoute]:
    """Give the routes of the pages and of what they load."""
    pages, serialized = _Pages(source, telemetry_path), one_at_a_time()
    return [
        Route("/", serialized(pages.overview)),
        Route("/venue", serialized(pages.venue)),
        Route("/changes", serialized(pages.changes)),
        *(Route(f"/static/{name}", _static(name)) for name in STATIC),
    ]


class _Pages:
    """Render pages, in a worker thread."""

    def __init__(self, source: Source, telemetry_path: str) -> None:
        self._source = source
        self._templates = _templates(telemetry_path)
        self._board = Board(self._templates.get_template("tile.html").render)

    def overview(self, request: Request) -> Response:
        """Show everything at a glance."""
        source, now = self._source, self._source.now()
        views, brands = source.venues(), source.brands()
        tiles = self._board.tiles(views, now.wall)
        by_key = {view.state.venue.key: view for view in views}
        found = sorted(
            (trouble for tile in tiles for trouble in tile.troubles),
            key=lambda trouble: (-trouble.level, -trouble.station_state.since),
        )
        wrong = [trouble for trouble in found if trouble.level > Level.QUIET]
        search = Search(request.query_params)
        chosen = [tile for tile in tiles if search.wants(tile)]
        return self._page(
            request,
            "overview.html",
            now,
            urgent=[trouble for trouble in wrong if trouble.level is Level.URGENT],
            notices=[trouble for trouble in wrong if trouble.level is not Level.URGENT],
            expected=[trouble for trouble in found if trouble.level is Level.QUIET],
            blind=list(blindnesses(brands, views)),
            listed=LISTED,
            search=search,
            chosen=len(chosen),
            tiles=[tile.render(by_key[tile.venue.key], now) for tile in chosen[: search.rows]],
            totals=Totals(tiles, views, now),
            brands=[Freshness(brand, views, now) for brand in sorted(brands, key=lambda brand: brand.state.brand)],
            entries=source.journal(limit=CHANGES),
        )

    def venue(self, request: Request) -> Response:
        """Show one venue: its stations, their timelines, its changes."""
        source, now = self._source, self._source.now()
        brand, venue_id = (request.query_params.get(name, "") for name in ("brand", "venue_id"))
        view = next((view for view in source.venues() if view.state.venue.key == (brand, venue_id)), None)
        if view is None:
            return self._page(request, "missing.html", now, status=404, brand=brand, venue_id=venue_id)
        chosen = request.query_params.get("span", "day")
        length, ticks = SPANS.get(chosen) or SPANS["day"]
        start = now.wall - length
        entries = source.journal(brand=brand, venue_id=venue_id, since=start, limit=JOURNAL)
        blind = timeline.blind_spans(entries, start, now.wall, blind_now=view.state.outage is not None)
        stations = view.state.stations or {}
        return self._page(
            request,
            "venue.html",
            now,
            view=view,
            age=None if view.state.fresh_at is None else now.monotonic - view.state.fresh_at,
            late=is_late(view, now),
            troubles=station_troubles(view, now.wall),
            lines=[Line(station_state, entries, start, now.wall) for station_state in in_order(stations)],
            blind=[_rect(span, start, now.wall) for span in blind],
            span=chosen if chosen in SPANS else "day",
            spans=SPANS,
            ticks=ticks,
            entries=source.journal(brand=brand, venue_id=venue_id, limit=CHANGES),
        )

    def changes(self, request: Request) -> Response:
        """Show the journal, page by page."""
        filters: dict[str, Any] = {name: request.query_params.get(name) or None for name in ("brand", "venue_id")}
        before = request.query_params.get("before", "")
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) <= len(str(2**62)) else None
        entries = self._source.journal(**filters, before=cursor, limit=OLDER_CHANGES + 1)
        shown = entries[:OLDER_CHANGES]
        return self._page(
            request,
            "changes.html",
            self._source.now(),
            filters=filters,
            entries=shown,
            older=shown[-1].id if len(entries) > len(shown) else None,
            first=cursor is None,
        )

    def _page(self, request: Request, template: str, now: Instant, *, status: int = 200, **context: Any) -> Response:
        html = self._templates.get_template(template).render(now=now.wall, **context)
        return compressed(request, html.encode(errors="replace"), "text/html", status=status)


class Search:
    """What a reader wants to see of the board; what makes no sense is left aside."""

    def __init__(self, query: Mapping[str, str]) -> None:
        rows = query.get("rows", "")
        self.q = query.get("q", "")[:100]
        self.brand = query.get("brand", "")
        self.troubled = query.get("show") == "troubles"
        self.rows = int(rows) if rows.isascii() and rows.isdigit() and len(rows) <= len("99999") else TILES
        self._terms = searchable(self.q).split()

    def wants(self, tile: Tile) -> bool:
        """Tell whether a venue is wanted."""
        return (
            self.brand in ("", tile.venue.brand)
            and (not self.troubled or tile.level > Level.QUIET)
            and all(term in tile.text for term in self._terms)
        )

    def more(self, rows: int) -> str:
        """Give the address of the same search with another number of venues."""
        show = "troubles" if self.troubled else None
        return href("./", q=self.q or None, brand=self.brand or None, show=show, rows=rows) + "#venues"


class Totals:
    """The figures under the headline."""

    def __init__(self, tiles: Sequence[Tile], views: Sequence[VenueView], now: Instant) -> None:
        outages = [view.state.outage is not None for view in views]
        known = [view.state.stations is not None for view in views]
        self.venues = len(views)
        self.answering = sum(is_known and not is_lost for is_known, is_lost in zip(known, outages, strict=True))
        self.waiting = sum(not is_known and not is_lost for is_known, is_lost in zip(known, outages, strict=True))
        self.stations = sum(tile.total for tile in tiles)
        self.active = sum(tile.active for tile in tiles)
        self.oldest = oldest(views, now)
        self.late = sum(is_late(view, now) for view in views)


class Freshness:
    """How well we see a brand."""

    def __init__(self, brand: BrandView, views: Iterable[VenueView], now: Instant) -> None:
        mine = [view for view in views if view.state.venue.brand == brand.state.brand]
        self.brand = brand
        self.name = brand.state.brand
        self.outage = brand.state.login_outage or brand.state.outage
        self.venues = len(mine)
        self.answering = sum(view.state.outage is None and view.state.stations is not None for view in mine)
        self.oldest = oldest(mine, now)
        self.interval = max((view.interval for view in mine), default=brand.interval)
        self.late = any(is_late(view, now) for view in mine)


def oldest(views: Iterable[VenueView], now: Instant) -> float | None:
    """Give the age of the oldest data in seconds; None where there is none."""
    return max((now.monotonic - at for view in views if (at := view.state.fresh_at) is not None), default=None)


class Line:
    """The timeline of a station, as rectangles on a strip that is 1000 wide."""

    def __init__(self, station_state: StationState, entries: Iterable[Entry], start: float, now: float) -> None:
        mine = [entry for entry in entries if entry.station_id == station_state.station.id]
        spans = timeline.status_spans(station_state, mine, start, now)
        disabled = [span for span in spans if span.active is False]
        self.station_state = station_state
        self.spans = [_rect(span, start, now) for span in spans]
        self.known = sum(span.end - span.start for span in spans if span.active is not None)
        self.known_whole = all(span.active is not None for span in spans)
        self.share = timeline.share_active(spans)
        self.times = len(disabled)
        self.seconds = sum(span.end - span.start for span in disabled)


def _rect(span: timeline.Span, start: float, now: float) -> dict[str, Any]:
    scale = 1000 / (now - start)
    return {
        "x": round((span.start - start) * scale, 1),
        # A moment is still to be seen.
        "width": max(2.0, round((span.end - span.start) * scale, 1)),
        "what": {True: "active", False: "disabled", None: "unknown"}[span.active],
        "start": span.start,
        "end": span.end,
    }


@cache
def _templates(telemetry_path: str) -> Environment:
    templates = Environment(
        loader=PackageLoader("exporter.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Addresses are relative, so that the pages work behind a proxy that serves them under a path of its own.
    templates.globals.update(
        metrics=telemetry_path.removeprefix("/"),
        static=lambda name: f"static/{name}?v={_digest(name)}",
        href=href,
        words=words,
        Level=Level,
        Kind=Kind,
    )
    return templates


def _static(name: str) -> Endpoint:
    body, tag = _content(name), f'"{_digest(name)}"'

    def static(request: Request) -> Response:
        current = request.query_params.get("v") == _digest(name)
        headers = {"ETag": tag, "Cache-Control": FOREVER if current else "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=STATIC[name])

    return static


@cache
def _content(name: str) -> bytes:
    return files("exporter.web").joinpath("static", name).read_bytes()


@cache
def _digest(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:16]
