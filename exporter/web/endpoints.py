"""The paths that machines ask for: metrics, health and reload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.errors import ConfigError, Fault

HEALTHY = "/-/healthy"
READY = "/-/ready"
RELOAD = "/-/reload"

MAX_FIELDS = 200
"""Fields of a scrape's query: there are fewer families, and thousands of fields hold everybody up."""

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
}


class Scrape(Protocol):
    """One answer to Prometheus; `content_encoding` is None where the body is not compressed."""

    @property
    def body(self) -> bytes:
        """Give what is sent, compressed or not."""

    @property
    def content_type(self) -> str:
        """Give the format that was negotiated."""

    @property
    def content_encoding(self) -> str | None:
        """Give the compression that was negotiated."""


class Exposition(Protocol):
    """Whatever makes the metrics' text.

    It is asked on the event loop, so it must be quick: what costs time is prepared when the state changes.
    """

    def scrape(self, accept: str, accept_encoding: str, names: frozenset[str]) -> Scrape:
        """Negotiate format and encoding; an empty `names` means every family."""


class Checks(NamedTuple):
    """What the health paths and the reload path ask the application.

    `ready` gives the reasons why it is not, one line each, and is asked on the event loop. `reload` gives the faults
    of the configuration it refused, or None; it runs in a thread, one at a time.
    """

    ready: Callable[[], Sequence[str]]
    reload: Callable[[], Sequence[Fault] | None]


def create_app(
    exposition: Exposition,
    checks: Checks,
    *,
    telemetry_path: str = "/metrics",
    routes: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """Put the machines' paths and the given routes (pages, JSON) together.

    Raises `ConfigError` for a telemetry path that is none or that belongs to something else.
    """
    reloading = asyncio.Lock()

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("healthy\n")

    async def ready(_: Request) -> Response:
        reasons = checks.ready()
        return PlainTextResponse("\n".join([*reasons, ""]) or "ready\n", 503 if reasons else 200)

    async def reload(request: Request) -> Response:
        if _is_cross_site(request.headers):
            return PlainTextResponse("refused: the request comes from another site\n", 403)
        async with reloading:
            faults = await run_in_threadpool(checks.reload)
        if faults:
            return PlainTextResponse("".join(f"{fault}\n" for fault in faults), 400)
        return PlainTextResponse("reloaded\n")

    own = [
        Route(HEALTHY, healthy),
        Route(READY, ready),
        Route(RELOAD, reload, methods=["POST"]),
    ]
    pages = _Pages(Starlette(routes=[*own, *routes]))
    taken = {str(getattr(route, "path", "")) for route in [*own, *routes]}
    return _Telemetry(exposition, _usable(telemetry_path, taken), pages)


def _usable(path: str, taken: Collection[str]) -> str:
    if not path.startswith("/") or set(path) & set(" ?#%"):
        raise ConfigError([Fault("--web.telemetry-path", f"{path!r} must start with / and be a plain path")])
    if path in taken:
        raise ConfigError([Fault("--web.telemetry-path", f"{path!r} is the path of something else")])
    return path


def _is_cross_site(headers: Headers) -> bool:
    """Tell whether a browser sends this from a page that is not ours; other clients send neither header."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")


class _Telemetry:
    """Answer scrapes before any routing, so that they cost the least, and pass everything else on."""

    def __init__(self, exposition: Exposition, path: str, others: ASGIApp) -> None:
        self._scrape = exposition.scrape
        self._path = path
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != self._path:
            await self._others(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            refusal = PlainTextResponse("Method Not Allowed", 405, {"Allow": "GET, HEAD"})
            await refusal(scope, receive, send)
            return
        accept = encodings = b""
        for name, value in scope["headers"]:
            if name == b"accept":
                accept += b"," + value if accept else value
            elif name == b"accept-encoding":
                encodings += b"," + value if encodings else value
        try:
            names = _names(scope["query_string"])
        except ValueError:
            await PlainTextResponse(f"more than {MAX_FIELDS} names\n", 400)(scope, receive, send)
            return
        scrape = self._scrape(accept.decode("latin-1"), encodings.decode("latin-1"), names)
        headers = [
            (b"content-type", scrape.content_type.encode("latin-1")),
            (b"content-length", b"%d" % len(scrape.body)),
            (b"vary", b"accept, accept-encoding"),
        ]
        if scrape.content_encoding:
            headers.append((b"content-encoding", scrape.content_encoding.encode("latin-1")))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scrape.body})


def _names(query: bytes) -> frozenset[str]:
    if not query:
        return frozenset()
    fields = parse_qsl(query.decode("latin-1"), max_num_fields=MAX_FIELDS)
    return frozenset(value for key, value in fields if key == "name[]")


class _Pages:
    """Add the headers that keep a browser safe to everything a person may open."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in PAGE_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, send_safely)
