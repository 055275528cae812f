"""The same as the pages, as JSON: stations, venues and changes, filtered and page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exporter.model import Event, StationState
from exporter.views import VenueView
from exporter.web import documents as doc
from exporter.web.openapi import description
from exporter.web.publicurl import PublicURL
from exporter.web.responses import Endpoint, compressed, href, one_at_a_time
from exporter.web.source import Entry, Source
from exporter.web.words import moment

Query = TypeVar("Query", bound=BaseModel)

PREFIX = "/api/v1"

_STATUS = {True: doc.Status.ACTIVE, False: doc.Status.INACTIVE, None: doc.Status.UNKNOWN}
_EVENTS = {
    None: frozenset(Event),
    doc.Status.ACTIVE: frozenset({Event.STATION_ACTIVATED}),
    doc.Status.INACTIVE: frozenset({Event.STATION_DEACTIVATED, Event.STATION_FOUND_INACTIVE}),
    doc.Status.UNKNOWN: frozenset[Event](),
}


def api_routes(source: Source, public: PublicURL = PublicURL()) -> list[BaseRoute]:  # noqa: B008 - frozen
    """Give the routes of the JSON API; its description names the URL at which people reach it."""
    api, serialized = _Api(source), one_at_a_time()
    document = to_json(description(PREFIX, public.external_url or f"{public.route_prefix}/"))

    def openapi(request: Request) -> Response:
        return compressed(request, document, "application/json")

    return [
        Route(f"{PREFIX}/stations", serialized(_checked(doc.StationQuery, api.stations))),
        Route(f"{PREFIX}/venues", serialized(_checked(doc.VenueQuery, api.venues))),
        Route(f"{PREFIX}/changes", serialized(_checked(doc.ChangeQuery, api.changes))),
        Route(f"{PREFIX}/openapi.json", openapi),
    ]


class _Api:
    """Answer queries, in a worker thread."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def stations(self, query: doc.StationQuery) -> BaseModel:
        """List stations, as far as their values are not too old to be shown."""
        rows = [
            (view, station_state)
            for view in self._venues(query)
            for _, station_state in sorted(view.stations.items())
            if query.status in (None, _STATUS[station_state.station.active])
            and query.kind in (None, station_state.station.kind)
            and (query.since is None or station_state.since >= query.since)
        ]
        return doc.Stations(
            data=[_station(view, station_state) for view, station_state in _page(rows, query)],
            total=len(rows),
            next=_next("stations", query, len(rows)),
        )

    def venues(self, query: doc.VenueQuery) -> BaseModel:
        """List venues."""
        now = self._source.now()
        rows = [view for view in self._venues(query) if query.status in (None, _venue_status(view))]
        return doc.Venues(
            data=[_venue(view, now.monotonic) for view in _page(rows, query)],
            total=len(rows),
            next=_next("venues", query, len(rows)),
        )

    def changes(self, query: doc.ChangeQuery) -> BaseModel:
        """List changes, newest first."""
        events = _EVENTS[query.status] & frozenset(query.event or Event)
        entries: Sequence[Entry] = ()
        if events:
            brand, venue_id = self._venue_of_changes(query)
            entries = self._source.journal(
                brand=brand,
                venue_id=venue_id,
                station_id=query.station,
                kind=query.kind,
                events=frozenset() if len(events) == len(Event) else events,
                since=query.since,
                until=query.until,
                before=query.before,
                limit=query.limit + 1,
            )
        shown = entries[: query.limit]
        older = _link("changes", query, before=shown[-1].id) if len(entries) > len(shown) else None
        return doc.Changes(data=[_change(entry) for entry in shown], next=older)

    def _venues(self, query: doc.StationQuery | doc.VenueQuery) -> list[VenueView]:
        wanted = [
            view
            for view in self._source.venues()
            if query.brand in (None, view.state.venue.brand)
            and query.venue in (None, view.state.venue.id, view.state.venue.name)
        ]
        return sorted(wanted, key=lambda view: view.state.venue.key)

    def _venue_of_changes(self, query: doc.ChangeQuery) -> tuple[str | None, str | None]:
        """Turn a venue's name to its brand and id; the journal goes by id, as names change."""
        known = [view.state.venue for view in self._source.venues() if query.brand in (None, view.state.venue.brand)]
        if query.venue is None or any(venue.id == query.venue for venue in known):
            return query.brand, query.venue
        named = [venue for venue in known if venue.name == query.venue]
        if len(named) > 1:
            raise _Refused("venue", "several venues have this name: give brand and id")
        return named[0].key if named else (query.brand, query.venue)


class _Refused(Exception):  # noqa: N818 - an answer rather than an error
    """Carry what is wrong with one parameter."""

    def __init__(self, parameter: str, message: str) -> None:
        self.fault = doc.Fault(parameter=parameter, message=message)
        super().__init__(message)


def _checked(model: type[Query], answer: Callable[[Query], BaseModel]) -> Endpoint:
    """Make an endpoint that reads its parameters strictly, and names all faults at once."""

    def endpoint(request: Request) -> Response:
        faults = list(_repeated(request, model))
        lists = _lists(model)
        given = {
            name: request.query_params.getlist(name) if name in lists else request.query_params[name]
            for name in request.query_params
        }
        try:
            query = model.model_validate(given)
            body: BaseModel = answer(query) if not faults else doc.Refusal(faults=faults)
        except ValidationError as error:
            body = doc.Refusal(faults=[*faults, *_faults(error)])
        except _Refused as refused:
            body = doc.Refusal(faults=[refused.fault])
        return compressed(
            request,
            body.model_dump_json().encode(),
            "application/json",
            status=400 if isinstance(body, doc.Refusal) else 200,
        )

    return endpoint


def _lists(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if field.default == ()}


def _repeated(request: Request, model: type[BaseModel]) -> Iterator[doc.Fault]:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in sorted({name for name in names if names.count(name) > 1} & set(model.model_fields) - _lists(model)):
        yield doc.Fault(parameter=name, message="is given more than once")


def _faults(error: ValidationError) -> Iterator[doc.Fault]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        unknown = fault["type"] == "extra_forbidden"
        message = "is not a parameter of this path" if unknown else fault["msg"].removeprefix("Value error, ")
        yield doc.Fault(parameter=str(fault["loc"][0]), message=message)


def _page(rows: Iterable[doc.Row], query: doc.StationQuery | doc.VenueQuery) -> Iterable[doc.Row]:
    return islice(rows, query.offset, query.offset + query.limit)


def _next(path: str, query: doc.StationQuery | doc.VenueQuery, total: int) -> str | None:
    offset = query.offset + query.limit
    return _link(path, query, offset=offset) if offset < total else None


def _link(path: str, query: BaseModel, **changed: int) -> str:
    given: Mapping[str, Any] = query.model_dump(mode="json", exclude_unset=True, exclude_defaults=True)
    return href(path, **{**given, **changed})


def _station(view: VenueView, station_state: StationState) -> doc.Station:
    venue, station = view.state.venue, station_state.station
    return doc.Station(
        brand=venue.brand,
        venue_id=venue.id,
        venue=venue.name,
        station_id=station.id,
        station=station.name,
        kind=station.kind,
        status=_STATUS[station.active],
        printable=station.printable,
        since=moment(station_state.since),
        last_transition=_moment(station_state.last_transition),
        created_at=_moment(station.created_at),
        updated_at=_moment(station.updated_at),
        ignored=station.id in view.ignored,
    )


def _venue(view: VenueView, monotonic: float) -> doc.Venue:
    state, opening = view.state, view.opening
    outage = state.outage
    return doc.Venue(
        brand=state.venue.brand,
        venue_id=state.venue.id,
        venue=state.venue.name,
        status=_venue_status(view),
        stations=len(view.stations),
        active=sum(station_state.station.active is True for station_state in view.stations.values()),
        last_success=_moment(state.last_success),
        age_seconds=None if state.fresh_at is None else round(monotonic - state.fresh_at, 3),
        poll_interval_seconds=view.interval,
        outage=outage and doc.Outage(since=moment(outage.since), reason=outage.reason, message=outage.message),
        open=opening.is_open if opening else None,
        next_open=_moment(opening.next_open) if opening else None,
        next_close=_moment(opening.next_close) if opening else None,
    )


def _venue_status(view: VenueView) -> doc.VenueStatus:
    if view.stale:
        return doc.VenueStatus.STALE
    if view.state.outage is not None:
        return doc.VenueStatus.FAILING
    return doc.VenueStatus.WAITING if view.state.stations is None else doc.VenueStatus.FRESH


def _change(entry: Entry) -> doc.Change:
    return doc.Change(
        id=entry.id,
        event=entry.event,
        observed_at=moment(entry.observed_at),
        brand=entry.brand,
        venue_id=entry.venue_id,
        venue=entry.venue,
        station_id=entry.station_id,
        station=entry.station,
        kind=entry.kind,
        updated_at=_moment(entry.updated_at),
        details=dict(entry.details),
    )


def _moment(wall: float | None) -> datetime | None:
    return None if wall is None else moment(wall)
