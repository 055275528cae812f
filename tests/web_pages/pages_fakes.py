"""A source that pages and JSON can read, and states to put into it."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from exporter.journal import Entry, JournalQuery
from exporter.model import (
    BrandState,
    Change,
    Event,
    Incident,
    IncidentKind,
    Instant,
    Kind,
    Outage,
    Reason,
    Station,
    StationState,
    Venue,
    VenueState,
)
from exporter.priority import ScrapePriority
from exporter.store import MemoryStore
from exporter.views import BrandView, Scrape, VenueView
from exporter.web.api import api_routes
from exporter.web.endpoints import Management, create_app
from exporter.web.pages import page_routes

NOW = 1_700_000_000.0
MONOTONIC = 50_000.0


def station_state(
    id_: str, name: str = "", *, active: bool | None = True, since: float = 3600.0, **more: Any
) -> StationState:
    """Make a station whose status has held for `since` seconds."""
    kind = more.pop("kind", Kind.KITCHEN)
    station = Station(id_, name or f"Station {id_}", kind, active, more.pop("printable", True), NOW - 9e6, NOW - since)
    return StationState(station, active, station.printable, since=NOW - since, **more)


def venue_view(id_: str, *stations: StationState, age: float = 12.0, **more: Any) -> VenueView:
    """Make a venue whose data is `age` seconds old."""
    venue = Venue(more.pop("brand", "tandir"), id_, more.pop("name", f"Venue {id_}"))
    outage = more.pop("outage", None)
    state = VenueState(
        venue,
        {one.station.id: one for one in stations},
        polls=1,
        last_success=NOW - age,
        fresh_at=MONOTONIC - age,
        polled_at=MONOTONIC - age,
        outage=outage,
        incidents={str(number): one for number, one in enumerate(more.pop("incidents", ()))},
        records=more.pop("records", {}),
    )
    return VenueView(state, more.pop("interval", 30.0), **more)


def incident(
    kind: IncidentKind, one: StationState | None = None, *members: StationState, ago: float = 600.0, **more: Any
) -> Incident:
    """Make an incident of a venue that began some seconds ago and fires."""
    station = one.station if one else None
    return Incident(
        kind,
        kind.severity,
        more.pop("brand", "tandir"),
        NOW - ago,
        station_id=station.id if station else None,
        station=station.name if station else None,
        station_kind=station.kind if station else None,
        fired_at=more.pop("fired_at", NOW - ago + 60),
        members=tuple(("7", member.station.id) for member in members),
        **more,
    )


def outage(reason: Reason = Reason.GATEWAY_TIMEOUT, since: float = 180.0) -> Outage:
    """Make an outage that began `since` seconds ago."""
    return Outage(NOW - since, reason, "Upstream gave no answer")


def brand_view(brand: str = "tandir", **more: Any) -> BrandView:
    """Make a brand that works."""
    venues = more.pop("venues", ())
    state = BrandState(
        brand,
        venues,
        seen=True,
        **{key: more.pop(key) for key in ("login_outage", "outage", "incidents") if key in more},
    )
    return BrandView(state, **{"quota_limit": 300, "quota_remaining": 212, "interval": 30.0, **more})


@dataclass
class FakeSource:
    """Hold what the pages shall show."""

    views: Sequence[VenueView] = ()
    brand_views: Sequence[BrandView] = ()
    wall: float = NOW
    service_incidents: Sequence[Incident] = ()
    store: MemoryStore = field(default_factory=MemoryStore)
    scrapes: ScrapePriority = field(default_factory=ScrapePriority)

    @cached_property
    def app(self) -> ASGIApp:
        """Return the pages and the JSON API that read from here."""
        return create_app(
            NoMetrics().scrape, Management(list, lambda: None), routes=[*page_routes(self), *api_routes(self)]
        )

    def give_way(self) -> None:
        self.scrapes.give_way()

    def now(self) -> Instant:
        return Instant(self.wall, MONOTONIC + self.wall - NOW)

    def venues(self) -> Sequence[VenueView]:
        return self.views

    def venues_from(self, key: tuple[str, ...], limit: int) -> Sequence[VenueView]:
        found = sorted(self.views, key=lambda view: view.state.venue.key)
        return [view for view in found if view.state.venue.key >= key][:limit]

    def brands(self) -> Sequence[BrandView]:
        return self.brand_views

    def process_incidents(self) -> Mapping[str, Incident]:
        return {str(number): one for number, one in enumerate(self.service_incidents)}

    def journal(self, query: JournalQuery = JournalQuery()) -> Sequence[Entry]:  # noqa: B008 - frozen
        return self.store.journal(query)

    def record(
        self, event: Event, ago: float, view: VenueView | None = None, one: StationState | None = None, **more: Any
    ) -> None:
        """Put an event of `ago` seconds before into the journal; to be called in their order."""
        venue = view.state.venue if view else None
        change = Change(event, venue.brand if venue else "tandir", NOW - ago, venue, one.station if one else None, more)
        self.store.commit(BrandState("tandir"), changes=[change])


class Answer(NamedTuple):
    """What a request came back with; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def html(self) -> str:
        return self.body.decode()

    @property
    def text(self) -> str:
        """Return what a person reads, on one line."""
        without = re.sub(r"<(svg|title|script|button)\b.*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"</(p|li|h\d|dt|dd)>", " ", without))).split())

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(source: FakeSource, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask the pages and the JSON API without a server."""
    return ask(source.app, path, method, **headers)


def ask(app: ASGIApp, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask an application without a server; `accept_encoding` becomes Accept-Encoding."""
    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(plain),
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    names = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent[1:]))


class NoMetrics:
    """Answer scrapes with nothing."""

    def scrape(self, accept: str, accept_encoding: str, names: frozenset[str]) -> Scrape:
        del accept, accept_encoding, names
        return Scrape((b"",), "text/plain", None)
