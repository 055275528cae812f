"""The pages for people: what is wrong now, all venues, what changed lately, and how fresh all that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.clock import iso
from exporter.i18n import LANGUAGES
from exporter.model import Event, Incident, IncidentKind, Instant, Kind, StationState, Venue
from exporter.texts import N_, texts_of
from exporter.views import BrandView, VenueView
from exporter.web import timeline, wording
from exporter.web.board import Board, Tile, in_order, is_late, searchable
from exporter.web.language import COOKIE, NAMES, language_of
from exporter.web.recent import RecentChanges
from exporter.web.responses import Endpoint, compressed, href, one_at_a_time
from exporter.web.source import Entry, Source
from exporter.web.troubles import Level, Quiet, Trouble, data_outages, is_current, switched_at, venue_troubles
from exporter.web.wording import SHOWN_EVENTS, Wording, wording_for

TILES = 48
"""Venues on the first page: a phone gets them at once, and the worst are among them."""

MAX_TILES = 1000
"""Venues on one page at most."""

LISTED = 12
"""Troubles in full view; more of them are folded."""

CHANGES = 12
OLDER_CHANGES = 50
JOURNAL = 5_000
"""Entries of one venue that its timelines are made of: more than a week of flapping."""

SPANS = {
    "day": (wording.DAY, timedelta(hours=6), N_("Day")),
    "week": (7 * wording.DAY, timedelta(days=1), N_("Week")),
    "month": (30 * wording.DAY, timedelta(days=5), N_("Month")),
}
"""What a timeline shows: seconds, time between the marks of its axis, name."""

MAX_VENUES_OFFERED = 1000
"""Venues among which the changes can be filtered."""

TOPICS: dict[str, tuple[str, frozenset[Event]]] = {
    "status": (
        N_("Disabled and activated"),
        frozenset({Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED, Event.STATION_FOUND_INACTIVE}),
    ),
    "printing": (N_("Printing"), frozenset({Event.STATION_PRINTING_DISABLED, Event.STATION_PRINTING_ENABLED})),
    "settings": (
        N_("Added, removed, edited"),
        frozenset(
            {
                Event.STATION_ADDED,
                Event.STATION_KIND_CHANGED,
                Event.STATION_REMOVED,
                Event.STATION_RENAMED,
                Event.STATION_TOUCHED,
                Event.VENUE_ADDED,
                Event.VENUE_REMOVED,
            }
        ),
    ),
    "data": (
        N_("Data and login"),
        frozenset(
            {
                Event.VENUE_LOST,
                Event.VENUE_RECOVERED,
                Event.BRAND_DISCOVERY_FAILED,
                Event.BRAND_DISCOVERY_RECOVERED,
                Event.BRAND_LOGIN_FAILED,
                Event.BRAND_LOGIN_RECOVERED,
                Event.BRAND_VENUES_MISSING,
            }
        ),
    ),
}
"""What the changes can be filtered by: name and events."""

REMEMBERED_SECONDS = 365 * wording.DAY
"""For how long a browser keeps the language that somebody chose."""

STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


def page_routes(source: Source, *, telemetry_path: str = "/metrics") -> list[BaseRoute]:
    """Return the routes of the pages and of what they load."""
    pages = _Pages(source, telemetry_path)
    return [
        Route("/", one_at_a_time(pages.overview)),
        Route("/venue", one_at_a_time(pages.venue)),
        Route("/changes", one_at_a_time(pages.changes)),
        Route("/language", _choose_language),
        *(Route(f"/static/{name}", _static(name)) for name in STATIC),
    ]


class _Pages:
    """Render pages, in a worker thread."""

    def __init__(self, source: Source, telemetry_path: str) -> None:
        self._source, self._telemetry_path = source, telemetry_path
        self._boards: dict[str, Board] = {}
        self._recent = RecentChanges(source.journal)

    def overview(self, request: Request) -> Response:
        """Show everything at a glance."""
        source, now = self._source, self._source.now()
        texts = wording_for(language_of(request))
        views, brands = source.venues(), sorted(source.brands(), key=lambda brand: brand.state.brand)
        tiles = self._board(texts.language).tiles(views, now, self._recent.refresh(now.wall))
        by_key = {view.state.venue.key: view for view in views}
        by_brand: dict[str, list[VenueView]] = {}
        for view in views:
            by_brand.setdefault(view.state.venue.brand, []).append(view)
        found = sorted(
            (trouble for tile in tiles for trouble in tile.troubles),
            key=lambda trouble: (-trouble.level, -trouble.since),
        )
        bulks = [one for brand in brands for one in brand.state.incidents.values() if _is_bulk(one)]
        outages = data_outages(brands, views)
        outage = next((one for one in outages if one.whole and len(one.views) == len(views)), None)
        search = Search(request.query_params)
        chosen = [tile for tile in tiles if search.wants(tile)]
        urgent = [one for one in found if one.level is Level.URGENT]
        notices = [one for one in found if one.level is Level.NOTICE]
        # What one change of many venues stands for is not listed beside it.
        alone = [one for one in (*urgent, *notices) if not one.is_covered]
        stations_off = {(view.state.venue.key, one.station.id) for view, one in _members(urgent)}
        stations_off |= {((one.brand, venue_id), id_) for one in bulks for venue_id, id_ in one.members}
        totals = Totals(tiles, views, now)
        service = _service_incidents(source.process_incidents().values(), brands)
        mood = "fine"
        for name, holds in (
            ("nodata", outage),
            ("urgent", urgent or bulks),
            ("nodata", outages or totals.late),
            ("notice", notices or service),
            ("waiting", not totals.is_read or any(brand.state.venues is None for brand in brands)),
        ):
            if holds:
                mood = name
                break
        return self._page(
            request,
            "overview.html",
            now,
            mood=mood,
            urgent=urgent,
            notices=notices,
            remembered=[one for one in found if one.quiet is Quiet.REMEMBERED],
            expected=[one for one in found if one.quiet not in (None, Quiet.REMEMBERED)],
            shown=alone[:LISTED],
            folded=[*alone[LISTED:], *(one for one in (*urgent, *notices) if one.is_covered)],
            off=len(stations_off),
            off_venues=len({key for key, _ in stations_off}),
            only_kitchens=not bulks and all(one.station.kind is Kind.KITCHEN for _, one in _members(urgent)),
            bulks=bulks,
            no_venues=all(brand.state.venues == () for brand in brands),
            back_offices={view.state.venue.brand: view.rules.back_office_url for view in views},
            data_outages=[one for one in outages if one is not outage],
            outage=outage,
            service=service,
            listed=LISTED,
            search=search,
            chosen=len(chosen),
            max_tiles=MAX_TILES,
            tiles=[tile.render(by_key[tile.venue.key], now, texts) for tile in chosen[: search.rows]],
            totals=totals,
            several=len(brands) > 1,
            brands=[Freshness(brand, by_brand.get(brand.state.brand, ()), now) for brand in brands],
            zone=_common_zone(views),
            zones={view.state.venue.key: view.rules.time_zone for view in views},
            entries=source.journal(limit=CHANGES, events=SHOWN_EVENTS),
        )

    def venue(self, request: Request) -> Response:
        """Show one venue: its stations, their timelines, its changes."""
        source, now = self._source, self._source.now()
        brand, venue_id = (request.query_params.get(name, "") for name in ("brand", "venue_id"))
        view = next((view for view in source.venues() if view.state.venue.key == (brand, venue_id)), None)
        if view is None:
            return self._page(request, "missing.html", now, status=404, brand=brand, venue_id=venue_id)
        chosen = request.query_params.get("span", "day")
        length, step, _ = SPANS.get(chosen) or SPANS["day"]
        start = now.wall - length
        entries = source.journal(brand=brand, venue_id=venue_id, since=start, limit=JOURNAL)
        outages = timeline.outage_spans(entries, start, now.wall, ongoing=view.state.outage is not None)
        late = is_late(view, now)
        current = is_current(view) and not late
        seen_at = now.wall if current else view.state.last_success or start
        return self._page(
            request,
            "venue.html",
            now,
            view=view,
            age=None if view.state.fresh_at is None else now.monotonic - view.state.fresh_at,
            late=late,
            current=current,
            troubles=venue_troubles(view, is_late=late),
            lines=[Line(one, entries, start, now.wall, seen_at) for one in in_order(view.state.stations or {})],
            outages=[_rect(span, start, now.wall) for span in outages],
            span=chosen if chosen in SPANS else "day",
            spans=SPANS,
            marks=timeline.marks(start, now.wall, step, view.rules.time_zone),
            several=len(source.brands()) > 1,
            zone=view.rules.time_zone,
            zones={view.state.venue.key: view.rules.time_zone},
            entries=source.journal(brand=brand, venue_id=venue_id, limit=CHANGES, events=SHOWN_EVENTS),
        )

    def changes(self, request: Request) -> Response:
        """Show the journal, page by page."""
        given = request.query_params
        filters = ChangeFilters(given)
        before = given.get("before", "")
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) <= len(str(2**62)) else None
        entries = self._source.journal(**filters.query, before=cursor, limit=OLDER_CHANGES + 1)
        shown = entries[:OLDER_CHANGES]
        views = self._source.venues()
        venues = sorted((view.state.venue for view in views), key=lambda venue: (venue.name.casefold(), venue.key))
        zone, texts = _common_zone(views), wording_for(language_of(request))
        return self._page(
            request,
            "changes.html",
            self._source.now(),
            filters=filters,
            venue=next((venue for venue in venues if venue.key == (filters.brand, filters.venue_id)), None),
            venues=venues[:MAX_VENUES_OFFERED],
            topics=TOPICS,
            kinds=(Kind.KITCHEN, Kind.OTHER),
            days=[
                (day, list(entries))
                for day, entries in groupby(shown, key=lambda entry: texts.day(entry.observed_at, zone))
            ],
            several=len(self._source.brands()) > 1,
            zone=zone,
            zones={view.state.venue.key: view.rules.time_zone for view in views},
            older=shown[-1].id if len(entries) > len(shown) else None,
            first=cursor is None,
        )

    def _board(self, language: str) -> Board:
        if language not in self._boards:
            self._boards[language] = Board(self._templates(language).get_template("tile.html").render)
        return self._boards[language]

    def _templates(self, language: str) -> Environment:
        return _templates(self._telemetry_path, language)

    def _page(self, request: Request, template: str, now: Instant, *, status: int = 200, **context: Any) -> Response:
        language = language_of(request)
        page = self._templates(language).get_template(template)
        here = request.url.path.rpartition("/")[2] + (f"?{request.url.query}" if request.url.query else "")
        html = page.render(now=now.wall, here=here, **{"zone": None, **context})
        response = compressed(request, html.encode(errors="replace"), "text/html", status=status)
        response.headers["Vary"] = "Accept-Encoding, Accept-Language, Cookie"
        response.headers["Content-Language"] = language
        return response


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
    def query(self) -> dict[str, Any]:
        """Return the filters of the journal."""
        events = TOPICS[self.event][1] if self.event else SHOWN_EVENTS
        return {"brand": self.brand, "venue_id": self.venue_id, "kind": self.kind, "events": events}

    @property
    def is_set(self) -> bool:
        """Return whether anything is left out."""
        return any((self.brand, self.venue_id, self.kind, self.event))

    def href(self, before: int | None = None) -> str:
        """Return the address of the changes with these filters, of those before an entry if one is given."""
        return href(
            "changes", brand=self.brand, venue_id=self.venue_id, kind=self.kind, event=self.event, before=before
        )


class Totals:
    """The figures under the headline."""

    def __init__(self, tiles: Sequence[Tile], views: Sequence[VenueView], now: Instant) -> None:
        self.venues = len(views)
        self.tried = sum(view.state.polled_at is not None for view in views)
        self.read = sum(is_current(view) for view in views)
        self.stations = sum(tile.total for tile in tiles)
        self.active = sum(tile.active for tile in tiles)
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
        self.spans = [_rect(span, start, now) for span in spans]
        self.known = sum(span.end - span.start for span in spans if span.active is not None)
        self.known_whole = all(span.active is not None for span in spans)
        self.share = timeline.share_active(spans)
        self.times = len(disabled)
        self.periods = [(span.start, span.end) for span in disabled[:-4:-1]]
        self.seconds = sum(span.end - span.start for span in disabled)


def _members(troubles: Iterable[Trouble]) -> Iterator[tuple[VenueView, StationState]]:
    """Yield the stations of troubles, each with its venue."""
    return ((trouble.view, one) for trouble in troubles for one in trouble.stations)


def _is_bulk(incident: Incident) -> bool:
    return incident.kind is IncidentKind.MANY_VENUES_INACTIVE


def _service_incidents(incidents: Iterable[Incident], brands: Iterable[BrandView]) -> list[Incident]:
    """Return what is wrong with the process and with tokens and clocks; outages have banners of their own."""
    kinds = (IncidentKind.TOKEN_EXPIRING, IncidentKind.CLOCK_SKEW)
    return [*incidents] + [one for brand in brands for one in brand.state.incidents.values() if one.kind in kinds]


def _common_zone(views: Iterable[VenueView]) -> tzinfo | None:
    """Return the time zone of all venues, None where they have several or none."""
    zones = {view.rules.time_zone for view in views}
    return zones.pop() if len(zones) == 1 else None


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
def _templates(telemetry_path: str, language: str) -> Environment:
    templates = Environment(
        loader=PackageLoader("exporter.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = wording_for(language)
    # Addresses are relative, so that the pages work behind a proxy that serves them under a path of its own.
    templates.globals.update(
        metrics=telemetry_path.removeprefix("/"),
        static=lambda name: f"static/{name}?v={_digest(name)}",
        href=href,
        venue_value=_venue_value,
        _=own.gettext,
        ngettext=own.ngettext,
        wording=own,
        iso=partial(iso, timespec="seconds"),
        tone=wording.tone,
        reasons=wording.REASONS,
        incident_texts=wording.INCIDENTS,
        remedies=wording.REMEDIES,
        advice=_advice(own),
        switched_at=switched_at,
        language=language,
        languages=NAMES,
        Level=Level,
        Kind=Kind,
        Quiet=Quiet,
    )
    return templates


def _venue_value(venue: Venue) -> str:
    """Return a venue as the one value that a form sends."""
    return "/".join(quote(part, safe="", errors="replace") for part in venue.key)


def _advice(own: Wording) -> Callable[[Trouble | Incident], str]:
    def advice(about: Trouble | Incident) -> str:
        incident = about if isinstance(about, Incident) else about.incident
        return own.gettext(texts_of(incident).advice) if incident else ""

    return advice


async def _choose_language(request: Request) -> Response:
    """Remember a language, and go back to where the reader was: a page of ours, whatever is asked for."""
    chosen, page = request.query_params.get("to", ""), request.query_params.get("page", "")
    path, _, query = page.partition("?")
    back = page if path in ("venue", "changes") else f"./?{query}" if query and not path else "./"
    response = RedirectResponse(back, 303)
    if chosen in LANGUAGES:
        response.set_cookie(COOKIE, chosen, REMEMBERED_SECONDS, path="", samesite="lax", httponly=True)
    return response


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
