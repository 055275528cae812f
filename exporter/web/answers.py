"""What every answer for people and programs has in common."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from functools import wraps
from threading import Lock
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

WORTH_PACKING = 1000
"""Bytes from which on an answer is compressed."""


Endpoint = Callable[[Request], Response]

_TURN = Lock()


def in_turn(endpoint: Endpoint) -> Endpoint:
    """Let one answer be made at a time: each thread that makes one competes with scrapes for the interpreter."""

    @wraps(endpoint)
    def waiting(request: Request) -> Response:
        with _TURN:
            return endpoint(request)

    return waiting


def href(path: str, **query: str | int | Sequence[str] | None) -> str:
    """Give a relative address; what is None is left out."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True, errors='replace')}" if given else path


def packed(request: Request, body: bytes, media_type: str, *, status: int = 200) -> Response:
    """Answer with what must not be kept, compressed where the client takes it."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    if len(body) >= WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers, media_type)
