"""The Open API v2 as its page describes it: requests in, answers out, faults in between."""

from __future__ import annotations

import gzip
import re
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from exporter.clock import iso
from exporter.simulator.faults import Acts, Call, Faults
from exporter.simulator.limits import Limits, Quota
from exporter.simulator.messages import Answer, Request, answer_json, encode, envelope, json_object, problem
from exporter.simulator.misbehaviour import Rows
from exporter.simulator.server import Wire
from exporter.simulator.tokens import Grant, Tokens
from exporter.simulator.traffic import Traffic
from exporter.simulator.world import Query, Sort, World

BASE_PATH = "/open-api/v2"
ENDPOINTS = {f"{BASE_PATH}/auth": "auth", f"{BASE_PATH}/venues": "venues", f"{BASE_PATH}/stations": "stations"}

_CREDENTIALS = ("client_id", "client_secret", "brand", "integrator_id")
_SORTS = encode(get_args(Sort))


class Parameters(BaseModel):
    """The query parameters of GET /stations."""

    status: Annotated[int, Field(ge=0, le=1)] | None = None
    can_print: bool | None = None
    sort: Sort = Field("created_at", alias="sort[0]")
    direction: Literal["1", "-1"] = Field("-1", alias="sort[1]")
    page: int = Field(1, ge=1, le=10**9)
    limit: int = Field(50, ge=1, le=200)


class Api:
    """Serve requests."""

    def __init__(self, world: World, tokens: Tokens, limits: Limits, faults: Faults, traffic: Traffic) -> None:
        self.world = world
        self.tokens = tokens
        self.limits = limits
        self.faults = faults
        self.traffic = traffic

    def serve(self, request: Request, wire: Wire) -> None:
        """Answer a request on its wire. Raises ConnectionError where the client left or is left alone."""
        endpoint = ENDPOINTS.get(request.path.rstrip("/"))
        if endpoint is None:
            wire.send(problem(404, "Route not found", "not_found"))
            return
        call, grant = self._identify(endpoint, request)
        entry = self.traffic.add(self.world.clock.wall(), call)
        exceeded = self._acquire(call, request.ip)
        acts = self.faults.draw(call)
        for before in acts["before"]:
            before(wire)
        answer = _too_many(exceeded) if exceeded else self._answer(call, grant, request, acts)
        answer = self._count(call, request.ip, answer)
        for after in acts["after"]:
            answer = after(answer)
        if "gzip" in request.headers.get("accept-encoding", "") and "Content-Encoding" not in answer.headers:
            packed = gzip.compress(answer.body, compresslevel=1)
            answer = Answer(answer.status, packed, {**answer.headers, "Content-Encoding": "gzip"})
        entry.code = answer.status
        if acts["wire"]:
            acts["wire"][0](wire, answer)
        else:
            wire.send(answer)

    def _identify(self, endpoint: str, request: Request) -> tuple[Call, Grant | None]:
        if endpoint == "auth":
            return Call(endpoint, _asked_brand(request.body)), None
        grant = self.tokens.find(request.headers.get("x-token", ""))
        brand = grant.brand if grant else None
        if endpoint == "venues":
            return Call(endpoint, brand), grant
        venue = request.headers.get("x-venue") or (brand and self.world.main_venue(brand))
        page = request.query.get("page", "1")
        return Call(endpoint, brand, venue, int(page) if re.fullmatch(r"\d{1,9}", page, re.ASCII) else None), grant

    def _acquire(self, call: Call, ip: str) -> Quota | None:
        return self.limits.acquire_login(ip) if call.endpoint == "auth" else self.limits.acquire(ip, call.brand)

    def _count(self, call: Call, ip: str, answer: Answer) -> Answer:
        if call.endpoint == "auth":
            return answer
        quota = self.limits.record(ip, call.brand, answer.status)
        if quota is None or answer.status == HTTPStatus.TOO_MANY_REQUESTS:  # a 429 says itself which tier it is of
            return answer
        return answer.with_headers(quota.headers())

    def _answer(self, call: Call, grant: Grant | None, request: Request, acts: Acts) -> Answer:
        if acts["instead"]:
            answer: Answer = acts["instead"][0]()
            return answer
        if request.method != ("POST" if call.endpoint == "auth" else "GET"):
            return problem(405, "Method not allowed", "method_not_allowed")
        if call.endpoint == "auth":
            return self._login(request.body)
        if grant is None or self.tokens.expired(grant):
            return _unauthorized(grant, request)
        if call.endpoint == "venues":
            return self._venues(grant.brand, acts)
        return self._stations(grant.brand, call.venue, request, acts)

    def _login(self, body: bytes) -> Answer:
        asked = json_object(body) or {}
        for name in _CREDENTIALS:
            if not isinstance(asked.get(name), str) or not asked[name]:
                return problem(400, f"The {name} field is required", "validation_failed")
        if asked["integrator_id"] != self.world.integrator_id:
            return problem(400, "Invalid integrator_id")
        given = {name: asked[name] for name in _CREDENTIALS}
        if given["brand"] not in self.world.brands or given != self.world.credentials(given["brand"]):
            return answer_json({"message": "Invalid credentials"}, 401)
        token, grant = self.tokens.issue(asked["brand"])
        return answer_json(
            {
                "success": True,
                "token": token,
                "token_type": "Bearer",
                "expires_in": int(self.tokens.lifetime),
                "expires_at": int(grant.expires_at),
                "message": "Authenticated",
            }
        )

    def _venues(self, brand: str, acts: Acts) -> Answer:
        rows = self.world.venue_rows(brand)
        seen = self._tampered(Rows(rows, 0, len(rows), len(rows)), acts)
        return self._finished(envelope(seen.page))

    def _stations(self, brand: str, venue: str | None, request: Request, acts: Acts) -> Answer:
        try:
            asked = Parameters.model_validate(request.query)
        except ValidationError as error:
            name, message = error.errors()[0]["loc"][0], error.errors()[0]["msg"]
            return problem(400, f"The {name} field: {message}", "validation_failed")
        query = Query(asked.status, asked.can_print, asked.sort, int(asked.direction))
        try:
            rows = self.world.station_rows(brand, venue or "", query)
        except LookupError:
            return problem(404, "Venue not found", "resource_not_found")
        begin = (asked.page - 1) * asked.limit
        seen = self._tampered(Rows(rows, begin, begin + asked.limit, len(rows)), acts)
        return self._finished(envelope(seen.page, seen.total), f',"sorts":{_SORTS}')

    def _tampered(self, rows: Rows, acts: Acts) -> Rows:
        for act in acts["rows"]:
            rows = act(rows, self.faults.random)
        return rows

    def _finished(self, opened: str, more: str = "") -> Answer:
        unix = int(self.world.clock.wall())
        return Answer(200, f'{opened}{more},"time":3,"timestamp":"{_timestamp(unix)}","unix":{unix}}}'.encode())


def _unauthorized(grant: Grant | None, request: Request) -> Answer:
    if grant is not None:
        return problem(401, "Token expired", "Token expired", expires_at=iso(grant.expires_at))
    if request.headers.get("x-token"):
        return problem(401, "Invalid token", "Invalid token")
    return problem(401, "Missing authentication headers", "unauthorized")


def _too_many(quota: Quota) -> Answer:
    answer = problem(429, "Too many requests", "rate_limit_exceeded")
    return answer.with_headers({**quota.headers(), "Retry-After": str(quota.reset)})


def _asked_brand(body: bytes) -> str | None:
    brand = (json_object(body) or {}).get("brand")
    return brand if isinstance(brand, str) else None


@lru_cache(maxsize=2)
def _timestamp(unix: int) -> str:
    return iso(unix)
