"""What every response has in common: headers that keep browsers safe, compression, and errors that say why."""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

from exporter.negotiation import accepts_gzip

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "deny",
}
"""Headers of every response that does not set them itself."""

SWITCH_SECONDS = 0.0002
"""Seconds that the thread of a page keeps the interpreter while others want it.

A scrape has to wait so long at every piece that it compresses or sends.
"""

LEAVING_SECONDS = 0.002
"""Seconds between a request for a page and its thread: what is begun for a client that has left cannot be stopped."""

MIN_COMPRESSED = 1000
"""Bytes from which on a body is compressed."""


Endpoint = Callable[[Request], Response]
AsyncEndpoint = Callable[[Request], Awaitable[Response]]


def one_at_a_time(endpoint: Endpoint) -> AsyncEndpoint:
    """Return an endpoint that works in a thread; of all that an application has of these, one at a time works.

    Each thread competes with scrapes for the interpreter. Whoever waits does so on the event loop, and stops waiting
    when the client leaves; nothing is begun for one that leaves at once.
    """

    @wraps(endpoint)
    async def serialized(request: Request) -> Response:
        begin = time.monotonic() + LEAVING_SECONDS
        async with request.app.state.working:
            await asyncio.sleep(max(0.0, begin - time.monotonic()))
            usual = sys.getswitchinterval()
            sys.setswitchinterval(min(usual, SWITCH_SECONDS))
            try:
                return await run_in_threadpool(endpoint, request)
            finally:
                sys.setswitchinterval(usual)

    return serialized


def href(path: str, **query: str | int | Sequence[str] | None) -> str:
    """Return a relative address; what is None is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True, errors='replace')}" if given else path


def compressed(request: Request, body: bytes, media_type: str, *, status: int = 200) -> Response:
    """Return a response that is compressed where the client accepts it."""
    headers = {"Vary": "Accept-Encoding"}
    if len(body) >= MIN_COMPRESSED and accepts_gzip(",".join(request.headers.getlist("accept-encoding"))):
        body = gzip.compress(body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers, media_type)


def error(scope: Scope, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error: JSON for the API, a line of text for everything else."""
    if "/api/" in scope["path"]:
        code = HTTPStatus(status).phrase.lower().replace(" ", "_")
        return JSONResponse({"error": code, "message": message}, status, headers)
    return PlainTextResponse(f"{message}\n", status, headers)


def raw_error(status: int, message: str) -> bytes:
    """Return an error as bytes, for a client that does not speak HTTP well enough to be passed on; it ends there."""
    body = f"{message}\n"
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "content-type: text/plain; charset=utf-8"]
    lines += [f"{name}: {value}" for name, value in SECURITY_HEADERS.items()]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "connection: close", "", body]).encode("ascii")
