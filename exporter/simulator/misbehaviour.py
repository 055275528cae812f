"""The catalogue of misbehaviour: what each fault does, by its name.

A fault acts at one of five moments. `before`: on the wire, before anything is looked at. `instead`: it is the answer.
`rows`: it changes the rows of a page. `after`: it changes the answer. `wire`: it writes the answer in its own way.
Keyword parameters, in seconds and bytes, are the options of the fault; the docstring is its help.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import Parameter, getdoc, signature
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar

from exporter.clock import iso
from exporter.model import EMPTY
from exporter.simulator.messages import Answer, answer_json, encode, json_object, problem
from exporter.simulator.server import Wire

Moment = Literal["before", "instead", "rows", "after", "wire"]
Act = TypeVar("Act", bound=Callable[..., Any])


class Misbehaviour(NamedTuple):
    """What a fault does: when it acts and how, its line of help, and its options by name."""

    moment: Moment
    act: Callable[..., Any]
    summary: str
    options: Mapping[str, Parameter] = EMPTY


class Rows(NamedTuple):
    """A list of JSON rows and where the wanted page stands in it; `total` is what the answer says."""

    rows: list[str]
    begin: int
    end: int
    total: int

    @property
    def page(self) -> list[str]:
        """Return the rows of the page."""
        return self.rows[self.begin : self.end]

    def with_page(self, page: list[str]) -> Rows:
        """Return the same place with other rows on the page."""
        return self._replace(rows=self.rows[: self.begin] + page, end=self.begin + len(page))

    def moved(self, by: int) -> Rows:
        """Return what is seen after `by` rows before the page were added or, if negative, deleted."""
        begin = max(0, self.begin - by)
        return self._replace(begin=begin, end=begin + self.end - self.begin, total=self.total + by)


CATALOGUE: dict[str, Misbehaviour] = {}


def _acts(moment: Moment) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        parameters = signature(act, eval_str=True).parameters
        options = {name: one for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
        CATALOGUE[act.__name__] = Misbehaviour(moment, act, getdoc(act) or "", options)
        return act

    return register


# Late or never


@_acts("before")
def latency(wire: Wire, *, seconds: float = 1.0) -> None:
    """Answer late."""
    wire.wait(seconds)


@_acts("before")
def hang(wire: Wire, *, seconds: float = 3600.0) -> None:
    """Say nothing until the client leaves."""
    wire.wait(seconds)
    wire.close()


@_acts("before")
def reset(wire: Wire) -> None:
    """Reset the connection."""
    wire.reset()


@_acts("before")
def disconnect(wire: Wire) -> None:
    """Close the connection without an answer."""
    wire.close()


# Answers: those of the API's page first, then those that no API should give

_HTML = {"Content-Type": "text/html"}

_ANSWERS = {
    "test_mode": (
        "Answer 200 with success false: integrator and brand are not in the same mode.",
        problem(200, "Integrator is in test mode. But brand is not in test mode"),
    ),
    "dead_integrator": ("Answer 400 Invalid integrator_id.", problem(400, "Invalid integrator_id")),
    "client_disabled": (
        "Answer 401 Client is disabled: the restaurant switched the Open API module off.",
        problem(401, "Client is disabled"),
    ),
    "wrong_credentials": (
        "Answer 401 with a message only.",
        answer_json({"message": "Invalid credentials"}, 401),
    ),
    "token_expired": (
        "Answer 401 Token expired.",
        problem(401, "Token expired", "Token expired", expires_at=iso(0)),
    ),
    "token_invalid": ("Answer 401 Invalid token.", problem(401, "Invalid token", "unauthorized")),
    "bad_request": (
        "Answer 400 validation_failed.",
        problem(400, "The given data was invalid", "validation_failed"),
    ),
    "forbidden": (
        "Answer 403: the staff user behind the credentials may not.",
        problem(403, "This action is unauthorized", "forbidden"),
    ),
    "not_found": ("Answer 404 resource_not_found.", problem(404, "Resource not found", "resource_not_found")),
    "server_error": ("Answer 500.", problem(500, "Internal server error", "internal_error")),
    "bad_gateway": (
        "Answer 502 with the HTML page of a gateway.",
        Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", _HTML),
    ),
    "unavailable": ("Answer 503.", problem(503, "Service unavailable")),
    "gateway_timeout": (
        "Answer 504; add latency of 8 s to be true to life.",
        problem(504, "Upstream did not answer in time", "gateway_timeout"),
    ),
    "garbage": (
        "Answer 200 with a login page instead of JSON.",
        Answer(200, b"<!doctype html><title>Hotel Wi-Fi</title><p>Please log in", _HTML),
    ),
    "empty": ("Answer 200 with an empty body.", Answer(200, b"")),
    "not_an_object": ("Answer 200 with a JSON list.", Answer(200, b'[{"id":1}]')),
}

CATALOGUE.update(
    (kind, Misbehaviour("instead", partial(lambda answer: answer, answer), summary))
    for kind, (summary, answer) in _ANSWERS.items()
)


@_acts("instead")
def rate_limited(*, reset: int | None = 5, retry_after: int | str | None = 5) -> Answer:
    """Answer 429; null leaves a header out."""
    answer = problem(429, "Too many requests", "rate_limit_exceeded")
    if reset is not None:
        answer = answer.with_headers(
            {"RateLimit-Limit": "300", "RateLimit-Remaining": "0", "RateLimit-Reset": str(reset)}
        )
    return answer if retry_after is None else answer.with_headers({"Retry-After": str(retry_after)})


@_acts("instead")
def status(*, code: int = 418, body: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """Answer any status, body and headers."""
    return Answer(code, body.encode("utf-8", "surrogateescape"), headers or {})


@_acts("instead")
def redirect(*, location: str = "http://127.0.0.1:9/elsewhere", code: int = 302) -> Answer:
    """Redirect elsewhere."""
    return Answer(code, b"", {"Location": location})


@_acts("instead")
def deep_json(*, depth: int = 100_000) -> Answer:
    """Answer 200 with JSON nested deeper than a parser likes."""
    return Answer(200, b'{"success":true,"data":' + b"[" * depth + b"]" * depth + b"}")


@_acts("instead")
def giant_integer(*, digits: int = 10_000) -> Answer:
    """Answer 200 with integers of more digits than Python reads."""
    number = "9" * digits
    row = f'{{"id":{number},"name":"Giant","status":1,"type":1,"printable":1}}'
    return Answer(200, f'{{"success":true,"token":"t","expires_at":{number},"data":[{row}],"total":{number}}}'.encode())


@_acts("after")
def fields(answer: Answer, *, set: Mapping[str, Any] | None = None, drop: Sequence[str] = ()) -> Answer:  # noqa: A002
    """Set or drop fields of the JSON answer."""
    truth = json_object(answer.body)
    if truth is None:
        return answer
    kept = {name: value for name, value in {**truth, **(set or {})}.items() if name not in drop}
    return replace(answer, body=encode(kept).encode())


@_acts("after")
def invalid_utf8(answer: Answer) -> Answer:
    """Put bytes that are not UTF-8 into the first text of the answer."""
    return replace(answer, body=answer.body.replace(b':"', b':"\xff\xc3(', 1))


@_acts("after")
def set_cookie(answer: Answer, *, cookie: str = "session=of-the-simulator; Path=/") -> Answer:
    """Set a cookie."""
    return answer.with_headers({"Set-Cookie": cookie})


@_acts("after")
def broken_gzip(answer: Answer) -> Answer:
    """Send something that starts like gzip and is not."""
    header = gzip.compress(b"")[:10]
    return replace(answer, body=header + b"\xff" * len(answer.body)).with_headers({"Content-Encoding": "gzip"})


@_acts("after")
def half_gzip(answer: Answer) -> Answer:
    """Send half of a gzip stream with the Content-Length of that half: many clients do not notice."""
    packed = gzip.compress(answer.body)
    return replace(answer, body=packed[: len(packed) // 2]).with_headers({"Content-Encoding": "gzip"})


# Lists that do not add up


@_acts("rows")
def row_missing(rows: Rows, random: Random) -> Rows:
    """Leave one row of a page out; the total stays."""
    page = rows.page
    if page:
        page.pop(random.randrange(len(page)))
    return rows.with_page(page)


@_acts("rows")
def row_duplicated(rows: Rows, random: Random) -> Rows:
    """Send one row of a page in the place of another; the total stays."""
    page = rows.page
    if len(page) > 1:
        kept, lost = random.sample(range(len(page)), 2)
        page[lost] = page[kept]
    return rows.with_page(page)


@_acts("rows")
def total_wrong(rows: Rows, random: Random, *, by: int = 1) -> Rows:  # noqa: ARG001 - every act on rows gets it
    """Say a wrong total."""
    return rows._replace(total=rows.total + by)


@_acts("rows")
def moving_list(rows: Rows, random: Random) -> Rows:
    """Put the list in another order for every page: rows are skipped and repeated, the total stays."""
    return rows._replace(rows=random.sample(rows.rows, len(rows.rows)))


@_acts("rows")
def shrinking_list(rows: Rows, random: Random) -> Rows:  # noqa: ARG001 - every act on rows gets it
    """Delete a row before every page but the first: one is skipped."""
    return rows.moved(-1) if rows.begin else rows


@_acts("rows")
def growing_list(rows: Rows, random: Random) -> Rows:  # noqa: ARG001 - every act on rows gets it
    """Add a row before every page but the first: one is repeated."""
    return rows.moved(1) if rows.begin else rows


# Bad transport


@_acts("wire")
def truncated(wire: Wire, answer: Answer) -> None:
    """Close after half of the body that Content-Length promises."""
    wire.write(wire.head(answer, len(answer.body)) + answer.body[: len(answer.body) // 2])
    wire.close()


@_acts("wire")
def slow_headers(wire: Wire, answer: Answer, *, pause: float = 1.0) -> None:
    """Send the headers byte by byte with pauses."""
    _trickle(wire, wire.head(answer, len(answer.body)), pause)
    wire.write(answer.body)


@_acts("wire")
def slow_body(wire: Wire, answer: Answer, *, pause: float = 1.0) -> None:
    """Send the body byte by byte with pauses."""
    wire.write(wire.head(answer, len(answer.body)))
    _trickle(wire, answer.body, pause)


@_acts("wire")
def huge_headers(wire: Wire, answer: Answer, *, size: int = 1_000_000) -> None:
    """Send a header of a megabyte."""
    wire.send(answer.with_headers({"X-Huge": "x" * size}))


@_acts("wire")
def many_headers(wire: Wire, answer: Answer, *, number: int = 10_000) -> None:
    """Send thousands of headers."""
    wire.send(answer.with_headers({f"X-Many-{index}": "x" for index in range(number)}))


@_acts("wire")
def endless_body(wire: Wire, answer: Answer) -> None:
    """Send a body that never ends."""
    wire.write(wire.head(Answer(answer.status, b""), None) + b'{"success":true,"data":[')
    while True:
        wire.write(b'{"id":1,"name":"Endless","status":1},' * 1000)


@_acts("wire")
def gzip_bomb(wire: Wire, answer: Answer, *, mebibytes: int = 1024) -> None:
    """Send a kilobyte of gzip for each mebibyte of blanks."""
    bomb = Answer(answer.status, b"", {**answer.headers, "Content-Encoding": "gzip"})
    packer = zlib.compressobj(9, wbits=31)
    wire.write(wire.head(bomb, None) + packer.compress(b" ") + packer.flush(zlib.Z_FULL_FLUSH))
    raw = zlib.compressobj(9, wbits=-15)
    block = raw.compress(b" " * 2**20) + raw.flush(zlib.Z_FULL_FLUSH)
    for _ in range(mebibytes):
        wire.write(block)
    wire.close()


def _trickle(wire: Wire, data: bytes, pause: float) -> None:
    for byte in data:
        wire.write(bytes((byte,)))
        wire.wait(pause)
