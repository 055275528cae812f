"""The pages for people: what is wrong now, all venues, what changed lately, and how fresh all that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import groupby
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from exporter.i18n import LANGUAGES
from exporter.journal import JournalQuery
from exporter.model import IncidentKind, Instant, Kind, StationState
from exporter.texts import N_
from exporter.views import VenueView
from exporter.web import timeline, wording
from exporter.web.assets import STATIC, static_file, templates
from exporter.web.board import Board, in_order, is_late
from exporter.web.figures import Freshness, Line, Totals, common_zone, rectangle
from exporter.web.filters import MAX_TILES, ChangeFilters, Search
from exporter.web.language import COOKIE, language_of
from exporter.web.recent import RecentChanges
from exporter.web.responses import compressed, one_at_a_time
from exporter.web.source import Source
from exporter.web.troubles import Level, Quiet, Trouble, data_outages, is_current, venue_troubles
from exporter.web.wording import SHOWN_EVENTS, TOPICS, wording_for

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


SERVICE_KINDS = frozenset({IncidentKind.TOKEN_EXPIRING, IncidentKind.CLOCK_SKEW})


MAX_VENUES_OFFERED = 1000
"""Venues among which the changes can be filtered."""


REMEMBERED_SECONDS = 365 * wording.DAY
"""For how long a browser keeps the language that somebody chose."""


def page_routes(source: Source, *, telemetry_path: str = "/metrics") -> list[BaseRoute]:
    """Return the routes of the pages and of what they load."""
    pages = _Pages(source, telemetry_path)
    return [
        Route("/", one_at_a_time(pages.overview)),
        Route("/venue", one_at_a_time(pages.venue)),
        Route("/changes", one_at_a_time(pages.changes)),
        Route("/language", _choose_language),
        *(Route(f"/static/{name}", static_file(name)) for name in STATIC),
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
        template = self._templates(texts.language).get_template("tile.html")
        board = self._boards.setdefault(texts.language, Board(template.render, source.give_way))
        tiles = board.tiles(views, now, self._recent.refresh(now.wall))
        by_key = {view.state.venue.key: view for view in views}
        by_brand: dict[str, list[VenueView]] = {}
        for view in views:
            by_brand.setdefault(view.state.venue.brand, []).append(view)
        found = sorted(
            (trouble for tile in tiles for trouble in tile.troubles),
            key=lambda trouble: (-trouble.level, -trouble.since),
        )
        of_brands = [one for brand in brands for one in brand.state.incidents.values()]
        bulks = [one for one in of_brands if one.kind is IncidentKind.MANY_VENUES_INACTIVE]
        # What is wrong with the process, with tokens and clocks; outages have banners of their own.
        service = [*source.process_incidents().values(), *(one for one in of_brands if one.kind in SERVICE_KINDS)]
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
        moods = (
            ("nodata", outage),
            ("urgent", urgent or bulks),
            ("nodata", outages or totals.late),
            ("notice", notices or service),
            ("waiting", not totals.is_read or any(brand.state.venues is None for brand in brands)),
            ("fine", True),
        )
        return self._page(
            request,
            "overview.html",
            now,
            mood=next(mood for mood, holds in moods if holds),
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
            silent=next((one for one in outages if one.is_silent), None),
            lost=len({view.state.venue.key for one in outages for view in one.views}),
            service=service,
            listed=LISTED,
            search=search,
            chosen=len(chosen),
            max_tiles=MAX_TILES,
            tiles=[tile.render(by_key[tile.venue.key], now, texts) for tile in chosen[: search.rows]],
            totals=totals,
            several=len(brands) > 1,
            brands=[Freshness(brand, by_brand.get(brand.state.brand, ()), now) for brand in brands],
            zone=common_zone(views),
            zones={view.state.venue.key: view.rules.time_zone for view in views},
            entries=source.journal(JournalQuery(limit=CHANGES, events=SHOWN_EVENTS)),
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
        of_venue = JournalQuery(brand=brand, venue_id=venue_id)
        entries = source.journal(replace(of_venue, since=start, limit=JOURNAL))
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
            outages=[rectangle(span, start, now.wall) for span in outages],
            span=chosen if chosen in SPANS else "day",
            spans=SPANS,
            marks=timeline.marks(start, now.wall, step, view.rules.time_zone),
            several=len(source.brands()) > 1,
            zone=view.rules.time_zone,
            zones={view.state.venue.key: view.rules.time_zone},
            entries=source.journal(replace(of_venue, limit=CHANGES, events=SHOWN_EVENTS)),
        )

    def changes(self, request: Request) -> Response:
        """Show the journal, page by page."""
        given = request.query_params
        filters = ChangeFilters(given)
        before = given.get("before", "")
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) <= len(str(2**62)) else None
        entries = self._source.journal(replace(filters.query, before=cursor, limit=OLDER_CHANGES + 1))
        shown = entries[:OLDER_CHANGES]
        views = self._source.venues()
        venues = sorted((view.state.venue for view in views), key=lambda venue: (venue.name.casefold(), venue.key))
        zone, texts = common_zone(views), wording_for(language_of(request))
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

    def _templates(self, language: str) -> Environment:
        return templates(self._telemetry_path, language)

    def _page(self, request: Request, template: str, now: Instant, *, status: int = 200, **context: Any) -> Response:
        language = language_of(request)
        page = self._templates(language).get_template(template)
        here = request.url.path.rpartition("/")[2] + (f"?{request.url.query}" if request.url.query else "")
        zone, zones = context.get("zone"), context.get("zones", {})
        # What its own times are in; the reader's time zone where none is configured.
        page_zone = str(zone or (UTC if any(zones.values()) else ""))
        html = page.render(now=now.wall, here=here, **{"zone": None, "page_zone": page_zone, **context})
        response = compressed(request, html.encode(errors="replace"), "text/html", status=status)
        response.headers["Vary"] = "Accept-Encoding, Accept-Language, Cookie"
        response.headers["Content-Language"] = language
        return response


def _members(troubles: Iterable[Trouble]) -> Iterator[tuple[VenueView, StationState]]:
    """Yield the stations of troubles, each with its venue."""
    return ((trouble.view, one) for trouble in troubles for one in trouble.stations)


async def _choose_language(request: Request) -> Response:
    """Remember a language, and go back to where the reader was: a page of ours, whatever is asked for."""
    chosen, page = request.query_params.get("to", ""), request.query_params.get("page", "")
    path, _, query = page.partition("?")
    back = page if path in ("venue", "changes") else f"./?{query}" if query and not path else "./"
    response = RedirectResponse(back, 303)
    if chosen in LANGUAGES:
        response.set_cookie(COOKIE, chosen, REMEMBERED_SECONDS, path="", samesite="lax", httponly=True)
    return response
