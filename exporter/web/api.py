"""The JSON API: stations, venues, changes and incidents, filtered and page by page.

A page goes on behind the last key of the one before, in the order in which venues are kept, so that all cost the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from pydantic import BaseModel, ValidationError, create_model
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exporter import __version__
from exporter.incidents import holds_since
from exporter.journal import JournalQuery
from exporter.model import Event, Incident, Kind
from exporter.views import VenueView
from exporter.web.api_queries import ChangeQuery, IncidentQuery, KeyedQuery, StationQuery, VenueQuery
from exporter.web.api_rows import (
    CHANGE,
    INCIDENT,
    STATION,
    VENUE,
    Fields,
    StationItem,
    VenueItem,
    as_json,
    incident_status,
)
from exporter.web.publicurl import PublicURL
from exporter.web.responses import Endpoint, compressed, href, one_at_a_time
from exporter.web.source import Source

Row = TypeVar("Row")
Key = tuple[str, ...]
Page = dict[str, Any]

PREFIX = "/api/v1"

MAX_SCANNED = 5_000
"""Rows that are looked at for one page: it ends there, however few of them were wanted."""
VENUES_AT_ONCE = 100
"""Venues that are taken from the source together."""
MAX_FAULTS = 20
MAX_NAME = 100
"""Characters of a parameter's name that a fault repeats."""

_EVENTS: dict[str | None, frozenset[Event]] = {
    None: frozenset(Event),
    "active": frozenset({Event.STATION_ACTIVATED}),
    "inactive": frozenset({Event.STATION_DEACTIVATED, Event.STATION_FOUND_INACTIVE}),
    "unknown": frozenset(),
}


class Operation(NamedTuple):
    """One list of the API."""

    name: str
    summary: str
    query: type[BaseModel]
    fields: Fields[Any]
    answer: Callable[[Any], Page]


def api_routes(source: Source, public: PublicURL = PublicURL()) -> list[BaseRoute]:  # noqa: B008 - frozen
    """Return the routes of the API; its description names the URL at which people reach it."""
    lists = _Lists(source)
    operations = [
        Operation("stations", "List stations by brand, venue and id", StationQuery, STATION, lists.stations),
        Operation("venues", "List venues by brand and id", VenueQuery, VENUE, lists.venues),
        Operation("changes", "List what changed, newest first", ChangeQuery, CHANGE, lists.changes),
        Operation("incidents", "List what somebody has to know now", IncidentQuery, INCIDENT, lists.incidents),
    ]

    @cache
    def document() -> bytes:  # when it is first asked for: it takes as long as several pages
        return to_json(_openapi(operations, public.external_url or f"{public.route_prefix}/"))

    def openapi(request: Request) -> Response:
        return compressed(request, document(), "application/json")

    return [
        *(Route(f"{PREFIX}/{operation.name}", one_at_a_time(_endpoint(operation))) for operation in operations),
        Route(f"{PREFIX}/openapi.json", one_at_a_time(openapi)),
    ]


class _Lists:
    """Answer queries, in a worker thread."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def stations(self, query: StationQuery) -> Page:
        """List stations, as far as their values are not too old to be shown."""
        candidates = (
            ((*view.state.venue.key, id_), StationItem(view, known))
            for view in self._venues(query)
            for id_, known in sorted(view.stations.items())
        )
        return _page("stations", query, STATION, candidates, lambda row: _is_wanted(row, query))

    def venues(self, query: VenueQuery) -> Page:
        """List venues."""
        now = self._source.now().monotonic
        owners = {view.state.brand: view.owner for view in self._source.brands()}
        candidates = (
            (view.state.venue.key, VenueItem(view, now, owners.get(view.state.venue.brand)))
            for view in self._venues(query)
        )
        return _page("venues", query, VENUE, candidates, lambda row: query.status in (None, row.status))

    def incidents(self, query: IncidentQuery) -> Page:
        """List pending and firing incidents: of the process itself, of brands, and of their venues."""
        found: list[tuple[Key, Incident]] = []
        if query.venue is None and query.brand is None:
            found += [(("", "", key), incident) for key, incident in self._source.process_incidents().items()]
        found += [
            ((view.state.brand, "", key), incident)
            for view in self._source.brands()
            if query.venue is None and query.brand in (None, view.state.brand)
            for key, incident in view.state.incidents.items()
        ]
        found += [
            ((*view.state.venue.key, key), incident)
            for view in self._venues(query)
            for key, incident in view.state.incidents.items()
        ]
        found.sort(key=lambda candidate: candidate[0])
        return _page(
            "incidents",
            query,
            INCIDENT,
            found,
            lambda row: (
                query.status in (None, incident_status(row)) and (query.since is None or row.since >= query.since)
            ),
        )

    def changes(self, query: ChangeQuery) -> Page:
        """List changes, newest first."""
        events = _EVENTS[query.status] & frozenset(query.event or Event)
        brand, venue_id = self._venue_of_changes(query)
        wanted = JournalQuery(
            brand=brand,
            venue_id=venue_id,
            station_id=query.station,
            kind=None if query.kind is None else Kind(query.kind),
            events=events,
            since=query.since,
            until=query.until,
            before=query.before,
            limit=query.limit + 1,
        )
        entries = self._source.journal(wanted) if events else ()
        shown = entries[: query.limit]
        older = _link("changes", query, before=shown[-1].id) if len(entries) > len(shown) else None
        return {"data": [as_json(CHANGE, entry) for entry in shown], "next": older}

    def _venues(self, query: KeyedQuery) -> Iterator[VenueView]:
        """Yield the venues that are asked for, from that of the key on."""
        start = max(_key(query.after)[:2], () if query.brand is None else (query.brand,))
        while views := self._source.venues_from(start, VENUES_AT_ONCE):
            for view in views:
                self._source.give_way()
                venue = view.state.venue
                if query.brand not in (None, venue.brand):
                    return
                if query.venue in (None, venue.id, venue.name):
                    yield view
            start = (*views[-1].state.venue.key, "")

    def _venue_of_changes(self, query: ChangeQuery) -> tuple[str | None, str | None]:
        """Return brand and id of a venue that is given by its name; the journal goes by id, as names change."""
        known = [view.state.venue for view in self._source.venues() if query.brand in (None, view.state.venue.brand)]
        if query.venue is None or any(venue.id == query.venue for venue in known):
            return query.brand, query.venue
        named = [venue for venue in known if venue.name == query.venue]
        if len(named) > 1:
            raise _AmbiguousError
        return named[0].key if named else (query.brand, query.venue)


class _AmbiguousError(Exception):
    """Say that a venue's name does not say which venue is meant."""


def _is_wanted(row: StationItem, query: StationQuery) -> bool:
    return (
        query.status in (None, row.status)
        and query.kind in (None, row.known.station.kind)
        and (query.since is None or holds_since(row.known)[0] >= query.since)
    )


def _page(
    path: str,
    query: KeyedQuery,
    fields: Fields[Row],
    candidates: Iterable[tuple[Key, Row]],
    wanted: Callable[[Row], bool],
) -> Page:
    """Return the first rows behind the query's key that are wanted, of candidates in the order of their keys."""
    after = last = _key(query.after)
    rows: list[Row] = []
    scanned = 0
    more = False
    for key, row in candidates:
        if key <= after:
            continue
        scanned += 1
        is_wanted = wanted(row)
        more = scanned > MAX_SCANNED or (is_wanted and len(rows) == query.limit)
        if more:
            break
        if is_wanted:
            rows.append(row)
        last = key
    following = _link(path, query, after="/".join(quote(part, safe="") for part in last)) if more else None
    return {"data": [as_json(fields, row) for row in rows], "next": following}


def _key(after: str | None) -> Key:
    return () if after is None else tuple(map(unquote, after.split("/")))


def _link(path: str, query: BaseModel, **changed: int | str) -> str:
    return href(path, **{**query.model_dump(mode="json", exclude_defaults=True), **changed})


def _endpoint(operation: Operation) -> Endpoint:
    """Return an endpoint that reads its parameters strictly, and names the faults of all."""
    lists = {name for name, field in operation.query.model_fields.items() if field.default == ()}

    def endpoint(request: Request) -> Response:
        given = request.query_params
        counts = Counter(name for name, _ in given.multi_items())
        faults = [
            {"parameter": name, "message": "is given more than once"}
            for name in operation.query.model_fields
            if counts[name] > 1 and name not in lists
        ]
        page: Page = {}
        try:
            query = operation.query.model_validate(
                {name: given.getlist(name) if name in lists else given[name] for name in given}
            )
            page = {} if faults else operation.answer(query)
        except ValidationError as error:
            known = sorted(operation.query.model_fields)
            found = error.errors(include_url=False, include_context=False, include_input=False)
            faults += [_fault(fault, known) for fault in found]
        except _AmbiguousError:
            faults.append({"parameter": "venue", "message": "several venues have this name: give brand and id"})
        if faults:
            message = f"{len(faults)} invalid parameter{'' if len(faults) == 1 else 's'}: see {PREFIX}/openapi.json"
            page = {"error": "bad_request", "message": message, "faults": faults[:MAX_FAULTS]}
        return compressed(request, to_json(page), "application/json", status=400 if faults else 200)

    return endpoint


def _fault(fault: Any, known: Sequence[str]) -> dict[str, str]:
    unknown = fault["type"] == "extra_forbidden"
    message = fault["msg"].removeprefix("Value error, ")
    if unknown:
        message = f"is not a parameter of this path: {', '.join(known) or 'it has none'}"
    return {"parameter": str(fault["loc"][0])[:MAX_NAME], "message": message}


def _openapi(operations: Iterable[Operation], server: str) -> dict[str, Any]:
    """Describe the API as OpenAPI 3.1, from what checks its parameters and makes its rows."""
    reference = "#/components/schemas/{model}"
    models: dict[str, type[BaseModel]] = {}
    for name, _, _, fields, _ in operations:
        types: dict[str, Any] = {field: (type_, ...) for field, (type_, _) in fields.items()}
        row = create_model(name.removesuffix("s").title(), **types)
        models[name] = create_model(name.title(), data=(list[row], ...), next=(str | None, ...))
    fault = create_model("ParameterFault", parameter=(str, ...), message=(str, ...))
    models["400"] = create_model("BadRequest", error=(str, ...), message=(str, ...), faults=(list[fault], ...))
    _, schemas = models_json_schema([(model, "serialization") for model in models.values()], ref_template=reference)

    def response(name: str, description: str) -> dict[str, Any]:
        schema = {"$ref": reference.format(model=models[name].__name__)}
        return {"description": description, "content": {"application/json": {"schema": schema}}}

    def parameters(query: type[BaseModel]) -> Iterator[dict[str, Any]]:
        for name, schema in query.model_json_schema(ref_template=reference)["properties"].items():
            del schema["title"]
            if "anyOf" in schema:  # they are left out rather than null
                kinds = [kind for kind in schema.pop("anyOf") if kind != {"type": "null"}]
                schema.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
            if not schema.get("default"):
                schema.pop("default", None)
            yield {"name": name, "in": "query", "description": schema.pop("description"), "schema": schema}

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clopos exporter",
            "version": __version__,
            "summary": "Stations of Clopos, what changed, and how fresh that is. Times are UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": {
            f"{PREFIX}/{name}": {
                "get": {
                    "operationId": name,
                    "summary": summary,
                    "parameters": list(parameters(query)),
                    "responses": {
                        "200": response(
                            name, "A page; `next` leads to the following, and may do so from an empty one."
                        ),
                        "400": response("400", "Faults of the parameters, as many as fit."),
                    },
                }
            }
            for name, summary, query, _, _ in operations
        },
        "components": {"schemas": schemas["$defs"]},
    }
